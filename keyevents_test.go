package esjwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// logLine is a line of a replica's log, as far as it is about keys.
type logLine struct {
	Logger string         `json:"logger"`
	Msg    string         `json:"msg"`
	Name   string         `json:"name"` // of an event
	Data   map[string]any `json:"data"` // of an event
	Keys   string         `json:"keys"`
	KeyID  string         `json:"kid"`
}

func (r *replica) logLines() []logLine {
	r.t.Helper()
	var lines []logLine
	for text := range strings.Lines(r.logs.String()) {
		var line logLine
		require.NoError(r.t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

// told are the kids of what happened to keys, by what happened: in the audit log, and in events.
func (r *replica) told() (audit, events map[string][]string) {
	audit, events = make(map[string][]string), make(map[string][]string)
	for _, line := range r.logLines() {
		switch {
		case line.Logger == "elasticsearch_jwt.audit" && line.Keys == "default":
			audit[line.Msg] = append(audit[line.Msg], line.KeyID)
		case line.Msg == "event" && line.Data["keys"] == "default":
			kid, _ := line.Data["kid"].(string)
			events[line.Name] = append(events[line.Name], kid)
		}
	}
	return audit, events
}

// TestNoEventOvertakesAnother: key_signing does not come before the key_created of its key, even if it is emitted
// while those of before Caddy's start are sent.
func TestNoEventOvertakesAnother(t *testing.T) {
	app := new(esjwt.App)
	var sent []string
	app.OnceStarted(func() {
		sent = append(sent, "first")
		app.OnceStarted(func() { sent = append(sent, "third") })
	})
	app.OnceStarted(func() { sent = append(sent, "second") })
	require.Empty(t, sent)
	app.Started()
	app.OnceStarted(func() { sent = append(sent, "fourth") })
	require.Equal(t, []string{"first", "second", "third", "fourth"}, sent)
}

func TestWhatHappensToAKeyIsToldOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		c := replicaConfig{keys: storageKeys(`,"rotate_every":"1h","retire_after":"10m"`)}
		c.storage = shared.view(t).config()
		first := newReplica(t, c)
		first.start()
		first.app.(*esjwt.App).Started()
		synctest.Wait()
		var signed []string
		for range 6 {
			signed = append(signed, first.signs())
			time.Sleep(time.Hour)
			first.signs()
			synctest.Wait()
		}
		time.Sleep(5 * time.Minute)
		published := first.kids()
		successor := published[len(published)-1]
		first.stop()

		audit, events := first.told()
		require.Equal(t, audit["signing key created"], events["elasticsearch_jwt.key_created"])
		require.Equal(t, audit["signing key began to sign"], events["elasticsearch_jwt.key_signing"])
		require.Equal(t, audit["signing key left the JWKS"], events["elasticsearch_jwt.key_retired"])
		require.Len(t, audit, 3)
		require.Subset(t, audit["signing key began to sign"], signed)
		require.Subset(t, audit["signing key created"], signed)
		require.Contains(t, audit["signing key created"], successor)
		require.NotContains(t, audit["signing key began to sign"], successor)
		require.NotEmpty(t, audit["signing key left the JWKS"])
		require.NotContains(t, published, audit["signing key left the JWKS"][0])
		for what, kids := range audit {
			seen := map[string]bool{}
			for _, kid := range kids {
				require.False(t, seen[kid], "%s twice: %s", kid, what)
				seen[kid] = true
			}
		}

		c.storage = shared.view(t).config()
		restarted := startReplica(t, c)
		synctest.Wait()
		audit, _ = restarted.told()
		require.Empty(t, audit["signing key created"], "no news")
		require.Len(t, audit["signing key began to sign"], 1)
	})
}

func TestARevocationIsTold(t *testing.T) {
	for name, revoke := range map[string]func(a *operated, kid string){
		"in time": func(a *operated, kid string) { a.revoke(kid) },
		"now":     func(a *operated, kid string) { a.change("revoke", `{"kid":"`+kid+`","now":true}`) },
		"all":     func(a *operated, _ string) { a.change("revoke", `{"all":true}`) },
	} {
		t.Run(name, func(t *testing.T) { testARevocationIsTold(t, revoke) })
	}
}

func testARevocationIsTold(t *testing.T, revoke func(a *operated, kid string)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		a := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		b := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		time.Sleep(time.Hour + 700*time.Millisecond) // what is stored is in whole seconds
		old := a.signs()
		revoke(a, old)
		audit, _ := a.told()
		require.Contains(t, audit["signing key revoked"], old, "by the one that was asked")
		time.Sleep(10 * time.Minute)
		audit, _ = b.told()
		require.Contains(t, audit["signing key revoked"], old, "and by the others")
		require.Contains(t, audit["signing key left the JWKS"], old)

		restarted := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		audit, _ = restarted.told()
		require.Empty(t, audit["signing key revoked"], "no news")
	})
}

// TestASubscriberHearsOfKeysFromTheFirstOn, also of those that were made before it could listen.
func TestASubscriberHearsOfKeysFromTheFirstOn(t *testing.T) {
	s := newSceneOf(t, strings.NewReplacer("{{settings}}", "",
		"admin off", "admin off\nevents {\non elasticsearch_jwt.key_created test "+t.Name()+
			"\non elasticsearch_jwt.key_signing test "+t.Name()+"\n}",
	).Replace(minimal))
	eventually(t, func() bool { return len(heard.of(t.Name())) == 3 }, "two keys, of which one signs")
	kids := map[string]bool{}
	for _, key := range s.jwks().Keys {
		kids[key.KeyID] = true
	}
	for _, event := range heard.of(t.Name()) {
		require.Equal(t, "default", event.Data["keys"])
		require.Equal(t, "RS256", event.Data["algorithm"])
		require.Contains(t, kids, event.Data["kid"])
	}
}

// listener is a handler of Caddy's events that remembers them.
type listener struct {
	Name string `json:"name,omitempty"`
}

var heard hearings

type hearings struct {
	mu     sync.Mutex
	events map[string][]caddy.Event
}

func (h *hearings) of(name string) []caddy.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events[name])
}

func init() { caddy.RegisterModule(new(listener)) }

func (*listener) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.test", New: func() caddy.Module { return new(listener) }}
}

func (l *listener) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&l.Name)
	return nil
}

func (l *listener) Handle(_ context.Context, e caddy.Event) error {
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if heard.events == nil {
		heard.events = make(map[string][]caddy.Event)
	}
	heard.events[l.Name] = append(heard.events[l.Name], e)
	return nil
}

func TestKeysThatCannotBeReadAreAnEvent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		r := startReplica(t, replicaConfig{storage: v.config()})
		r.app.(*esjwt.App).Started()
		synctest.Wait()
		_, events := r.told()
		require.Empty(t, events["elasticsearch_jwt.key_failed"])
		v.set(func(v *view) { v.failure = errors.New("the storage is gone") })
		time.Sleep(time.Minute)
		for _, line := range r.logLines() {
			if line.Name == "elasticsearch_jwt.key_failed" {
				require.Equal(t, "default", line.Data["keys"])
				require.Contains(t, line.Data["error"], "the storage is gone")
				return
			}
		}
		require.Fail(t, "no event")
	})
}
