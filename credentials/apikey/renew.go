package apikey

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

const (
	// gatherTime is how long a renewal waits for others that can go with it.
	gatherTime = 200 * time.Millisecond

	// maxUpdated is how many keys are updated with one question.
	maxUpdated = 500

	// renewTimeout is how long the cluster may take to renew some keys.
	renewTimeout = 8 * time.Second

	// conflictPause is the time until it is looked again whether somebody else has renewed a key.
	conflictPause = 5 * time.Second
)

// renew makes a key live longer, without a new secret. If another replica has done it already, that is all. Nothing is
// locked: if two replicas renew one key, the later one wins, and both are right. If the cluster refuses one of them, it
// takes what the other has stored a moment later.
func (m *making) renew(
	ctx context.Context, last *credential.Credential, had *stored,
) (*credential.Credential, error) {
	if found, _, err := m.store.load(ctx, had.name); err == nil && found != nil && m.isUsable(found) {
		if found.ID != had.ID || found.Until > had.Until {
			return m.adopt(found), nil
		}
	} else if err == nil && found == nil && !m.store.unstored.has(had.ID) {
		// Somebody has deleted it, because its client was denied or a node refused it.
		return m.first(ctx)
	}
	now := time.Now()
	life := m.life(now)
	if life <= 0 {
		return nil, errEnded
	}
	if until(now, life) <= had.Until+seconds(minLeft) {
		kept := *last
		kept.RenewAt = last.Until // no renewal makes it live longer
		return &kept, nil
	}
	lost, err := m.renewals.join(ctx, m.api, had.ID, life)
	switch {
	case errors.Is(err, errConflict):
		kept := *last
		kept.RenewAt = min(last.Until, now.Unix()+seconds(conflictPause)) // the storage has the other's by then
		return &kept, nil
	case err != nil:
		return nil, err
	case lost != nil:
		m.logger.Info("an API key is gone, or has ended, and the client gets another one",
			zap.String("api_key", had.ID), zap.Error(lost))
		if err := m.store.remove(ctx, had.name, had.ID); err != nil {
			return nil, credential.AsRefusal(err) // or it would be found again
		}
		m.store.unstored.remove(had.ID)
		return m.first(ctx)
	}
	renewed := *had
	renewed.Since, renewed.Until, renewed.old = now.Unix(), until(now, life), false
	renewed.setClient(m.client)
	m.keep(ctx, &renewed)
	return m.credential(&renewed), nil
}

// renewals gathers the renewals that come together, so that the cluster is asked once for all of them.
type renewals struct {
	mu       sync.Mutex
	gathered map[sameRenewal]*gathering
}

// sameRenewal is what those have in common that can go together.
type sameRenewal struct {
	api     api
	seconds int64
}

// gathering is a question that is yet to be asked.
type gathering struct {
	ids  []string
	done chan struct{}
	outcome
	err error
}

// join renews a key together with others. lost says why the cluster will never renew this one.
func (r *renewals) join(ctx context.Context, a *api, id string, life int64) (lost, err error) {
	g := r.gather(sameRenewal{*a, life}, id)
	select {
	case <-g.done:
		if g.err != nil {
			return nil, g.err
		}
		return g.lost[id], g.failed[id]
	case <-ctx.Done():
		return nil, unreachable(context.Cause(ctx))
	}
}

func (r *renewals) gather(what sameRenewal, id string) *gathering {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gathered[what]
	if g == nil {
		g = &gathering{done: make(chan struct{})}
		if r.gathered == nil {
			r.gathered = make(map[sameRenewal]*gathering)
		}
		r.gathered[what] = g
		time.AfterFunc(gatherTime, func() { r.ask(what, g) })
	}
	g.ids = append(g.ids, id)
	return g
}

func (r *renewals) ask(what sameRenewal, g *gathering) {
	r.mu.Lock()
	delete(r.gathered, what)
	r.mu.Unlock()
	defer close(g.done)
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	g.outcome, g.err = what.api.renew(ctx, g.ids, what.seconds)
}
