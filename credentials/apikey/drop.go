package apikey

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// maxCleaners is how many keys are invalidated at a time after nodes have refused them. The sweep does the rest.
const maxCleaners = 4

// dropTries is how often it is tried, and dropPause the time in between: a key that was made just now cannot be
// invalidated for about a second.
const (
	dropTries   = 3
	dropPause   = 2 * time.Second
	dropTimeout = 20 * time.Second

	// lookUpTimeout is how long the cluster may take to say whether it can look a key up. A request waits for it.
	lookUpTimeout = 5 * time.Second
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
	if err != nil || !asked.canLookUp(ctx, key.ID) {
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
			if left, err := asked.invalidate(ctx, []string{id}); err == nil && len(left) == 0 {
				return
			}
			time.Sleep(dropPause)
		}
	}()
}

// canLookUp reports whether the cluster can look a key up, whatever it finds.
func (a *api) canLookUp(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	answer, err := a.cluster.Ask(ctx, cluster.Question{
		Method: http.MethodGet, Path: "/_security/api_key?owner=true&id=" + url.QueryEscape(id), Header: a.user.Header(),
	})
	return err == nil && (answer.OK() || answer.Status == http.StatusNotFound)
}
