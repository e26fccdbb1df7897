package identity

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// fetchedLists has the revocation lists of each URL, by the hash of the URL, which can have a password in it. They
// outlive a configuration. So a reload cannot bring back an older list, and does not fail while the server is down.
var fetchedLists = caddy.NewUsagePool()

// sharedLists has the lists that were fetched from a URL so far. All handlers that name the URL share them, also those
// of another configuration.
type sharedLists struct {
	key     [sha256.Size]byte
	lists   atomic.Pointer[crl.Lists] // nil before the first fetch
	version atomic.Uint64             // raised after each change of lists
	mu      sync.Mutex                // held while lists change
}

// Get returns the lists, or nil before the first fetch.
func (s *sharedLists) Get() *crl.Lists { return s.lists.Load() }

// Version counts the changes of what Get returns.
func (s *sharedLists) Version() uint64 { return s.version.Load() }

// renew adds the lists that were fetched now, and reports whether one of them is older than a known one. It does not
// replace the known ones, because somebody between the server and Caddy could have sent an old or a forged list. Of
// each key the newest list with a good signature counts:
//
//	before     number 7, signed with the issuer's key
//	fetched    number 6, signed with the same key
//	afterwards number 7 goes on, and the fetch is a rollback
func (s *sharedLists) renew(fetched *crl.Lists) (lists *crl.Lists, rollback bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lists, rollback = crl.Renew(s.lists.Load(), fetched)
	s.lists.Store(lists)
	s.version.Add(1)
	return lists, rollback
}

// listSource is where revocation lists come from.
type listSource struct {
	name string
	changingLists
}

// changingLists are revocation lists that can change from one request to the next.
type changingLists interface {
	Get() *crl.Lists // nil before the first fetch
	versioned
}

// openLists opens a file with revocation lists, or an http or https URL. An older file may replace a newer one, since
// only the operator can write it.
func (f *Files) openLists(source string, resolve setting.Resolver, logger *zap.Logger) error {
	name, err := staticText(source, resolve)
	if err != nil {
		return err
	}
	isURL, err := isListURL(name)
	if err != nil {
		return err
	}
	if !isURL {
		parse := func(content []byte) (*crl.Lists, error) {
			lists, err := crl.Parse(content)
			if err == nil {
				report(lists, name, logger)
			}
			return lists, err
		}
		file, err := watch.OpenFile("crl", name, parse, logger)
		if err != nil {
			return err
		}
		f.addLists(listSource{name, file}, file)
		return nil
	}
	key := sha256.Sum256([]byte(name))
	loaded, _ := fetchedLists.LoadOrStore(key, &sharedLists{key: key})
	state := loaded.(*sharedLists)
	f.fetched = append(f.fetched, state)
	parse := func(content []byte) (*crl.Lists, error) {
		fetched, err := crl.Parse(content)
		if err != nil {
			return nil, err
		}
		lists, rollback := state.renew(fetched)
		if rollback {
			logger.Warn("the URL gave an older revocation list than before, and the newer one stays in use: "+
				"is the server out of date, or is somebody on the way?",
				zap.String("source", setting.Redacted(name)))
		}
		report(lists, setting.Redacted(name), logger)
		return lists, nil
	}
	address := watch.URL(setting.Redacted(name), name, crl.MaxSize)
	f.addLists(listSource{address.Name, state}, watch.OpenURL("crl", address, state.Get() != nil, parse, logger))
	return nil
}

func (f *Files) addLists(lists listSource, w watch.Watched) {
	f.lists = append(f.lists, lists)
	f.versions = append(f.versions, lists)
	f.watched = append(f.watched, w)
}

// isListURL reports whether the value of a setting is a URL, and not the name of a file. Its errors do not show the
// value: a URL with a mistake in it can have a password in it too.
func isListURL(name string) (bool, error) {
	scheme, _, _ := strings.Cut(strings.ToLower(name), ":")
	if !strings.Contains(name, "://") && scheme != "http" && scheme != "https" {
		return false, nil
	}
	address, err := url.Parse(name)
	switch {
	case err != nil:
		return false, errors.New("the URL cannot be read: " +
			"write http://pki.example.com/clients.crl, with % and blanks as %25 and %20")
	case address.Scheme != "http" && address.Scheme != "https" && address.Host != "":
		return false, fmt.Errorf("revocation lists are fetched over http or https, not %s", address.Scheme)
	case address.Host == "":
		return false, errors.New("the URL has no host: write http://pki.example.com/clients.crl")
	default:
		return true, nil
	}
}

// report logs which lists were read, and warns of those that are out of date.
func report(lists *crl.Lists, name string, logger *zap.Logger) {
	now, infos, revoked := time.Now(), lists.Infos(), 0
	for _, list := range infos {
		revoked += list.Revoked
		if list.NextUpdate.Before(now) {
			fields := []zap.Field{zap.String("source", name), zap.String("issuer", list.Issuer)}
			if list.Number != nil {
				fields = append(fields, zap.Stringer("number", list.Number))
			}
			logger.Warn("a revocation list is out of date: "+
				"its issuer's clients are refused, unless crl_stale is allow; renew it",
				append(fields, logfield.Time("this_update", list.ThisUpdate),
					logfield.Time("next_update", list.NextUpdate))...)
		}
	}
	logger.Info("revocation lists were read",
		zap.String("source", name), zap.Int("lists", len(infos)), zap.Int("revoked", revoked))
}
