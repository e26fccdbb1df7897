package esjwt_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// How long everybody takes, at most, with the defaults.
const (
	followed = 35 * time.Second // until every replica has polled
	lead     = 3 * time.Minute  // until every cache knows a new key
)

// operated is a replica with the admin API beside it.
type operated struct {
	*replica
	api http.Handler
}

func startOperated(t testing.TB, c replicaConfig) *operated {
	t.Helper()
	return operate(startReplica(t, c))
}

// operate puts the admin API beside a replica.
func operate(r *replica) *operated {
	mux := http.NewServeMux()
	for _, route := range r.app.(*esjwt.App).AdminRoutes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				apiErr, ok := errors.AsType[caddy.APIError](err)
				if !ok {
					apiErr = caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
				}
				http.Error(w, apiErr.Error(), apiErr.HTTPStatus)
			}
		})
	}
	return &operated{r, mux}
}

// request asks the admin API.
func (o *operated) request(method, path, body string) (int, string) {
	o.t.Helper()
	rec := httptest.NewRecorder()
	o.api.ServeHTTP(rec, httptest.NewRequest(method, "/elasticsearch_jwt/keys"+path, strings.NewReader(body)))
	return rec.Code, rec.Body.String()
}

// change asks for a rotation or a revocation, which must succeed.
func (o *operated) change(path, body string) keys.Rotation {
	o.t.Helper()
	status, answer := o.request(http.MethodPost, "/default/"+path, body)
	require.Equal(o.t, http.StatusOK, status, answer)
	var rotation keys.Rotation
	require.NoError(o.t, json.Unmarshal([]byte(answer), &rotation))
	return rotation
}

func (o *operated) rotate() keys.Rotation { return o.change("rotate", "") }

func (o *operated) revoke(kid string) keys.Rotation {
	return o.change("revoke", `{"kid":"`+kid+`"}`)
}

// state is what the admin API says of a key of the default set: signing, next, …
func (o *operated) state(kid string) string {
	o.t.Helper()
	for _, k := range o.status().Keys {
		if k.ID == kid {
			return k.State
		}
	}
	return "unknown"
}

func (o *operated) status() esjwt.SetStatus {
	o.t.Helper()
	status, answer := o.request(http.MethodGet, "/default", "")
	require.Equal(o.t, http.StatusOK, status, answer)
	var set esjwt.SetStatus
	require.NoError(o.t, json.Unmarshal([]byte(answer), &set))
	return set
}

// next is the kid of the key that will sign after the one that signs now.
func (o *operated) next() string {
	o.t.Helper()
	for _, k := range o.status().Keys {
		if k.State == "next" {
			return k.ID
		}
	}
	o.t.Fatal("no successor is published")
	return ""
}

// twoReplicas are two replicas on one storage, an hour after their start: every cache knows
// every key.
func twoReplicas(t *testing.T, settings string) (a, b *operated) {
	t.Helper()
	shared := newMemory()
	start := func() *operated {
		return startOperated(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(settings)})
	}
	a, b = start(), start()
	synctest.Wait()
	time.Sleep(time.Hour)
	a.both(b)
	return a, b
}

// both are the kids that two replicas sign with now. Whatever it is, both of them publish it.
func (o *operated) both(other *operated) [2]string {
	o.t.Helper()
	// Ask twice: a token of before can go on while the one of a new window is signed.
	o.signs(other.replica)
	other.signs(o.replica)
	synctest.Wait()
	return [2]string{o.signs(other.replica), other.signs(o.replica)}
}

// watch looks at both replicas again and again, more often at first.
func (o *operated) watch(other *operated, d time.Duration, look func(since time.Duration, signing [2]string)) {
	o.t.Helper()
	type cache struct {
		at   time.Time
		kids []string
	}
	var caches []cache // of the last minute
	start := time.Now()
	for since := time.Duration(0); since < d; since = time.Since(start) {
		signing := o.both(other)
		for _, c := range caches {
			for _, kid := range signing {
				require.Contains(o.t, c.kids, kid, "it signs after %s, and some cache cannot know it", since)
			}
		}
		look(since, signing)
		now := time.Now()
		caches = append(caches, cache{now, o.kids()}, cache{now, other.kids()})
		caches = slices.DeleteFunc(caches, func(c cache) bool { return now.Sub(c.at) >= 50*time.Second })
		step := time.Second
		if since > followed {
			step = 5 * time.Second
		}
		time.Sleep(step)
	}
}
