package identity

import (
	"errors"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/denylist"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Files are the role mapping, the deny lists and the revocation lists, which can also come from URLs. They can change
// while Caddy runs. When one of them has changed, every client is examined again at its next request.
type Files struct {
	roleMapping *watch.Setting[*rolemapping.Mapping] // nil if there is none
	denied      []*watch.Setting[*denylist.List]
	lists       []listSource

	versions []versioned
	watched  []watch.Watched
	fetched  []*sharedLists
}

// versioned is something that counts its changes.
type versioned interface{ Version() uint64 }

// OpenFiles reads the files that the settings name. The caller watches them (see [Files.Watched]), and closes them.
func OpenFiles(s *Settings, resolve setting.Resolver, logger *zap.Logger) (*Files, error) {
	files := new(Files)
	if err := files.open(s, resolve, logger); err != nil {
		_ = files.Close()
		return nil, err
	}
	return files, nil
}

func (f *Files) open(s *Settings, resolve setting.Resolver, logger *zap.Logger) error {
	if s.RoleMapping != "" {
		if err := f.openRoleMapping(s.RoleMapping, resolve, logger); err != nil {
			return setting.In("role_mapping", err)
		}
	}
	for _, source := range s.Deny {
		if err := f.openDenyList(source, resolve, logger); err != nil {
			return setting.In("deny", err)
		}
	}
	for _, source := range s.CRL {
		if err := f.openLists(source, resolve, logger); err != nil {
			return setting.In("crl", err)
		}
	}
	return nil
}

func (f *Files) openRoleMapping(source string, resolve setting.Resolver, logger *zap.Logger) error {
	name, err := staticText(source, resolve)
	if err != nil {
		return err
	}
	parse := func(content []byte) (*rolemapping.Mapping, error) {
		mapping, err := rolemapping.Parse(content)
		if err != nil {
			return nil, err
		}
		if doubts := mapping.Doubts(); doubts != nil {
			logger.Warn("names in the role mapping match hardly any certificate, so nobody may have their roles",
				zap.String("source", name), zap.Error(doubts))
		}
		return mapping, nil
	}
	if f.roleMapping, err = watch.OpenFile("role_mapping", name, parse, logger); err != nil {
		return err
	}
	f.versions, f.watched = append(f.versions, f.roleMapping), append(f.watched, f.roleMapping)
	return nil
}

func (f *Files) openDenyList(source string, resolve setting.Resolver, logger *zap.Logger) error {
	name, err := staticText(source, resolve)
	if err != nil {
		return err
	}
	list, err := watch.OpenFile("deny", name, parseDenyList(name, logger), logger)
	if err != nil {
		return err
	}
	f.denied = append(f.denied, list)
	f.versions, f.watched = append(f.versions, list), append(f.watched, list)
	return nil
}

// parseDenyList returns a parser of a deny list that logs a warning when the list loses its last entry.
func parseDenyList(name string, logger *zap.Logger) func([]byte) (*denylist.List, error) {
	denies := false
	return func(content []byte) (*denylist.List, error) {
		list, err := denylist.Parse(content)
		if err != nil {
			return nil, err
		}
		if denies && list.Len() == 0 {
			logger.Warn("the deny list was emptied, and denies nobody any more", zap.String("source", name))
		}
		denies = list.Len() > 0
		return list, nil
	}
}

// Watched returns the files and URLs to watch.
func (f *Files) Watched() []watch.Watched { return f.watched }

// version returns another number after each change of a file: the sum of all versions, none of which ever falls.
func (f *Files) version() uint64 {
	sum := uint64(0)
	for _, v := range f.versions {
		sum += v.Version()
	}
	return sum
}

// Close forgets what was fetched from URLs, unless another configuration uses it.
func (f *Files) Close() error {
	var errs []error
	for _, state := range f.fetched {
		_, err := fetchedLists.Delete(state.key)
		errs = append(errs, err)
	}
	f.fetched = nil
	return errors.Join(errs...)
}
