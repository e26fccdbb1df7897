package apikey

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// maxCleaners is how many keys the cluster is asked about in the background at a time, such as to invalidate those that
// nodes have refused. The sweep does the rest.
const maxCleaners = 4

// dropTries is how often it is tried, and dropPause the time in between: a key that was made just now cannot be
// invalidated for about a second.
const (
	dropTries   = 3
	dropPause   = 2 * time.Second
	dropTimeout = 20 * time.Second

	// lookUpTimeout is how long the cluster may take to say whether it can look a key up. A request waits for it.
	lookUpTimeout = 5 * time.Second

	// sparedFor is how long a key stays that nodes refuse and the cluster finds good.
	sparedFor = 20 * time.Second
)

// Drop implements [credential.Dropper]. It sees that nobody finds the key in the storage, and invalidates it in the
// background: a node that refuses it may be wrong. While the cluster cannot look keys up, as when it has just started,
// nodes answer 401 to good ones too, and all are kept.
func (a *APIKey) Drop(ctx context.Context, refused *credential.Credential) (dropped bool) {
	key, ok := refused.Detail.(*stored)
	if !ok {
		return true
	}
	user := a.user.Get()
	asked, err := a.apiOf(user)
	if err != nil || !a.mayDrop(ctx, asked, key.ID) {
		return false
	}
	s := a.stores.of(a.storage, user, asked.cluster)
	s.unstored.remove(key.ID)
	if err := s.remove(ctx, key.name, key.ID); err != nil {
		a.logger.Warn("an API key that a node refuses could not be deleted from the storage",
			zap.String("api_key", key.ID), zap.Error(err))
	}
	a.discard(asked, key.ID)
	return true
}

// discard invalidates a key in the background.
func (a *APIKey) discard(asked *api, id string) {
	a.later(func(ctx context.Context) bool {
		left, err := asked.invalidate(ctx, []string{id})
		return err == nil && len(left) == 0
	})
}

// later asks the cluster about a key in the background, again if it was made too short ago. It is not asked at all if too
// much of that kind is going on.
func (a *APIKey) later(ask func(context.Context) (done bool)) {
	select {
	case a.cleaners <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-a.cleaners }()
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		for range dropTries {
			if ask(ctx) {
				return
			}
			time.Sleep(dropPause)
		}
	}()
}

// mayDrop reports whether a key that a node has refused is bad. It is not known to be while the cluster cannot look it
// up. If the cluster finds it good, the node was wrong, perhaps because it had just started. Other replicas use the
// key, and it stays for a while.
func (a *APIKey) mayDrop(ctx context.Context, asked *api, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	good, err := asked.isGood(ctx, id)
	return err == nil && (!good || !a.spared.spare(id, time.Now()))
}

// isGood reports whether a key of the user's is neither unknown nor invalidated nor expired. An error says that the
// cluster cannot tell.
func (a *api) isGood(ctx context.Context, id string) (bool, error) {
	answer, err := a.cluster.Ask(ctx, cluster.Question{
		Method: http.MethodGet, Path: "/_security/api_key?owner=true&id=" + url.QueryEscape(id), Header: a.user.Header(),
	})
	switch {
	case err != nil:
		return false, unreachable(err)
	case answer.Status == http.StatusNotFound:
		return false, nil
	case !answer.OK():
		return false, refusal(answer)
	}
	var found struct {
		Keys []struct {
			ID          string `json:"id"`
			Invalidated bool   `json:"invalidated"`
			Expiration  int64  `json:"expiration"`
		} `json:"api_keys"`
	}
	if err := answer.Decode(&found); err != nil {
		return false, unreachable(err)
	}
	for _, key := range found.Keys {
		if key.ID == id {
			return !key.Invalidated && key.Expiration > time.Now().UnixMilli(), nil
		}
	}
	return false, nil
}

// spared remembers since when keys are refused that the cluster finds good.
type spared struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// spare reports whether a key stays. One that is refused for longer than sparedFor does not: something else is wrong
// with it, such as its secret.
func (s *spared) spare(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.since, func(_ string, since time.Time) bool { return now.Sub(since) > 2*sparedFor })
	since, ok := s.since[id]
	switch {
	case !ok && s.since == nil:
		s.since = map[string]time.Time{id: now}
	case !ok:
		s.since[id] = now
	case now.Sub(since) > sparedFor:
		delete(s.since, id)
		return false
	}
	return true
}
