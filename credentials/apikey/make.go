package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

const (
	// margin is how much earlier than the node the proxy takes a key for ended.
	margin = 5 * time.Second

	// latency is how long the cluster takes to make or renew a key, whose life begins only then.
	latency = time.Second

	// minLeft is how much of its life a stored key must have left to be used. One that ends with the certificate may
	// have less.
	minLeft = time.Minute / timing.TimeScale
)

// Make implements [credential.Maker]. It asks the cluster for nothing that the storage has.
func (a *APIKey) Make(
	ctx context.Context, client *credential.Client, plan credential.Plan, last *credential.Credential,
) (*credential.Credential, error) {
	p, ok := plan.Detail.(planned)
	if !ok {
		return nil, fmt.Errorf("the plan is of another kind: %T", plan.Detail)
	}
	asked, err := a.apiOf(p.user)
	if err != nil {
		return nil, err
	}
	m := making{
		APIKey: a, api: asked, store: a.stores.of(a.storage, p.user, asked.cluster),
		client: client, plan: plan, planned: p,
	}
	if last != nil {
		if had, ok := last.Detail.(*stored); ok {
			return m.renew(ctx, last, had)
		}
	}
	return m.first(ctx)
}

// making is one call of Make.
type making struct {
	*APIKey
	api     *api
	store   *store
	client  *credential.Client
	plan    credential.Plan
	planned planned
}

// first adopts a key that is stored, or makes one. A lock keeps two replicas from making one each. It only spares work:
// after a while, or if the storage fails, it is done without.
func (m *making) first(ctx context.Context) (*credential.Credential, error) {
	head, err := m.store.open(ctx)
	if err != nil {
		m.warn("Caddy's storage cannot be used for API keys, so that replicas and restarts need keys of their own: "+
			"make it readable and writable for Caddy", err)
		made, err := m.create(ctx, m.store.unstored.id(), "")
		if err != nil {
			return nil, err
		}
		key, _ := made.Detail.(*stored)
		key.name = m.store.objectName(m.plan.ID())
		m.store.unstored.add(key)
		return made, nil
	}
	name, found := m.find(ctx)
	if found != nil {
		return m.adopt(found), nil
	}
	release, lockErr := m.store.lock(ctx, "make_"+path.Base(name))
	if lockErr == nil {
		defer release()
	}
	if _, found := m.find(ctx); found != nil {
		return m.adopt(found), nil
	}
	where := head.ID
	if m.store.isDown() {
		where = m.store.unstored.id()
	}
	made, err := m.create(ctx, where, name)
	if err != nil {
		return nil, err
	}
	key, _ := made.Detail.(*stored)
	if lockErr != nil {
		if _, found := m.find(ctx); found != nil {
			m.discard(m.api, key.ID) // which nobody has used
			return m.adopt(found), nil
		}
	}
	m.keep(ctx, key)
	return made, nil
}

// warn warns of the storage, at most once a minute.
func (a *APIKey) warn(what string, err error) {
	if times, due := a.warnings.Due(what, time.Now()); due {
		a.logger.Warn(what, zap.Int("times", times), zap.Error(err))
	}
}

// find returns the stored key of the plan, if the client can have it, and the name under which to store another one. A
// key that outlives the client's certificate is not for this client, and those who have it keep it.
func (m *making) find(ctx context.Context) (name string, found *stored) {
	name = m.store.objectName(m.plan.ID())
	found, _, err := m.store.load(ctx, name)
	if err == nil && found != nil && found.Until > m.client.NotAfter && found.Until > time.Now().Unix() {
		name = m.store.objectName(m.plan.For(m.client).ID())
		found, _, err = m.store.load(ctx, name)
	}
	if err != nil || found == nil || !m.isUsable(found) {
		return name, nil
	}
	return name, found
}

// isUsable reports whether a stored key is good, long enough, and not too long for the client.
func (m *making) isUsable(s *stored) bool {
	left := s.Until - time.Now().Unix()
	return s.Until <= m.client.NotAfter && left > 0 && (left >= seconds(minLeft) || m.endsWithCertificate(s))
}

// endsWithCertificate reports whether a key cannot live longer than it does.
func (m *making) endsWithCertificate(s *stored) bool {
	return s.Until+2*seconds(margin) >= m.client.NotAfter
}

// life returns how many seconds a key that is made or renewed now can live; 0 if the certificate has ended. A part of
// the second in which it is made is already over.
func (m *making) life(now time.Time) int64 {
	left := m.client.NotAfter - now.Unix()
	if left <= 0 {
		return 0
	}
	return min(seconds(time.Duration(m.Lifetime)), max(1, left-1-seconds(latency)))
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// until returns when a key ends that the cluster was asked for at an instant. It lets a key live no shorter than it was
// asked to.
func until(asked time.Time, life int64) int64 {
	return asked.Unix() + life - min(seconds(margin), life/4)
}

// create makes a key, which is yet to be stored under a name.
func (m *making) create(ctx context.Context, store, name string) (*credential.Credential, error) {
	now := time.Now()
	life := m.life(now)
	answer, err := m.api.create(ctx, m.client.Principal, life, m.planned.roles, m.aboutKey(m.client, store))
	if err != nil {
		return nil, err
	}
	key := &stored{
		ID: answer.ID, Encoded: answer.Encoded, Since: now.Unix(), Until: until(now, life),
		Apart: m.plan.Apart, Store: store, name: name,
	}
	if name != "" && name != m.store.objectName(m.plan.ID()) {
		key.Apart = m.plan.For(m.client).Apart
	}
	key.setClient(m.client)
	return m.credential(key), nil
}

// credential returns a key as what is sent.
func (m *making) credential(s *stored) *credential.Credential {
	c := &credential.Credential{
		Authorization: "ApiKey " + s.Encoded,
		ID:            s.ID,
		Until:         s.Until,
		RenewAt:       s.Until,
		Detail:        s,
	}
	if !m.endsWithCertificate(s) {
		c.RenewAt = renewAt(s, m.replica())
	}
	return c
}

// adopt returns a key that is stored as what is sent.
func (m *making) adopt(found *stored) *credential.Credential {
	c := m.credential(found)
	c.Found = true
	return c
}

// renewAt returns when a key is renewed: at half its life, or a bit before, so that not all keys that were made
// together are renewed together, and one replica is first.
func renewAt(s *stored, replica string) int64 {
	const spread = 20 // the part of a life
	sum := sha256.Sum256([]byte(s.ID + "\x00" + replica))
	life := max(0, s.Until-s.Since)
	earlier := int64(binary.BigEndian.Uint32(sum[:4])) * (life / spread) >> 32
	return s.Since + life/2 - earlier
}
