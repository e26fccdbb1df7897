package esjwt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// fetchedLists are the revocation lists of each URL, by its hash: it can have a password in it. They
// outlive a configuration, so that a reload is no occasion to serve an outdated list, and needs no
// answer from a server that is down just then.
var fetchedLists = caddy.NewUsagePool()

// listState is what has been fetched from a URL so far.
type listState struct {
	mu    sync.Mutex
	lists *crl.Lists
}

// get returns what was fetched, or nil.
func (s *listState) get() *crl.Lists {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

// renew adds what has been fetched now: somebody on the way could have put an outdated or a forged
// list there, and the newest with a good signature counts.
func (s *listState) renew(fetched *crl.Lists) (lists *crl.Lists, rollback bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists, rollback = crl.Renew(s.lists, fetched)
	return s.lists, rollback
}

// watchCRL reads revocation lists from a file, or from an http or https URL. A file is as old as the
// operator wants it to be.
func (a *App) watchCRL(source string, changed func(), logger *zap.Logger) (*watched[*crl.Lists], error) {
	name, err := staticText(source, resolveGlobal)
	if err != nil {
		return nil, err
	}
	isURL, err := isListURL(name)
	if err != nil {
		return nil, err
	}
	if !isURL {
		parse := func(content []byte) (*crl.Lists, error) {
			lists, err := crl.Parse(content)
			if err == nil {
				report(lists, name, logger)
			}
			return lists, err
		}
		return watchFile(name, parse, changed, logger)
	}
	key := sha256.Sum256([]byte(name))
	loaded, _ := fetchedLists.LoadOrStore(key, new(listState))
	a.listKeys = append(a.listKeys, key)
	state := loaded.(*listState)
	parse := func(content []byte) (*crl.Lists, error) {
		fetched, err := crl.Parse(content)
		if err != nil {
			return nil, err
		}
		lists, rollback := state.renew(fetched)
		if rollback {
			logger.Warn("a revocation list came that is older than the one before, which stays: is the server out of date, or is somebody on the way?",
				zap.String("source", redacted(name)))
		}
		report(lists, redacted(name), logger)
		return lists, nil
	}
	var before **crl.Lists
	if lists := state.get(); lists != nil {
		before = &lists
	}
	return watchURL(name, before, parse, changed, logger), nil
}

// isListURL tells a URL from the name of a file.
func isListURL(name string) (bool, error) {
	scheme, _, found := strings.Cut(name, "://")
	if !found {
		return false, nil
	}
	address, err := url.Parse(name)
	switch {
	case scheme != "http" && scheme != "https":
		return false, fmt.Errorf("revocation lists are fetched over http or https, not %s", scheme)
	case err != nil:
		return false, errors.New("the URL cannot be read: write http://pki.example.com/clients.crl, with % and blanks as %25 and %20")
	case address.Host == "":
		return false, errors.New("the URL has no host: write http://pki.example.com/clients.crl")
	default:
		return true, nil
	}
}

// report says what was read, and which lists are out of date already, before their clients find out.
func report(lists *crl.Lists, name string, logger *zap.Logger) {
	now, infos, revoked := time.Now(), lists.Infos(), 0
	for _, list := range infos {
		revoked += list.Revoked
		if list.NextUpdate.Before(now) {
			logger.Warn("a revocation list is out of date: its issuer's clients are refused, unless crl_stale is allow; renew it",
				zap.String("source", name), zap.String("issuer", list.Issuer), zap.Stringer("number", list.Number),
				zap.Time("this_update", list.ThisUpdate), zap.Time("next_update", list.NextUpdate))
		}
	}
	logger.Info("revocation lists were read", zap.String("source", name), zap.Int("lists", len(infos)), zap.Int("revoked", revoked))
}
