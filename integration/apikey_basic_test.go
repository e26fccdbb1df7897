package integration

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// basicStack is a node with a basic licence and a Caddy in front of it.
type basicStack struct {
	*keyStack
	*front
}

func newBasicStack(t *testing.T, version string) *basicStack {
	t.Helper()
	s := newKeyStack(t, basicNodeOf(t, version), 5*time.Minute)
	return &basicStack{keyStack: s, front: s.replica(t)}
}

// who returns the name and ID of the key with which a client's request goes on.
func (s *basicStack) who(t *testing.T, certificate tls.Certificate, header http.Header) (name, id string) {
	t.Helper()
	return s.whoAt(t, s.front, certificate, header)
}

// whoAt is [basicStack.who] at another replica.
func (s *basicStack) whoAt(
	t *testing.T, replica *front, certificate tls.Certificate, header http.Header,
) (name, id string) {
	t.Helper()
	got := send(t, &http.Client{Transport: replica.site.http1(certificate)}, http.MethodGet,
		replica.site.url("/_security/_authenticate"), "", header)
	require.Equal(t, http.StatusOK, got.status, got.body)
	var who struct {
		Username string
		Roles    []string
		Type     string                    `json:"authentication_type"`
		Key      struct{ ID, Name string } `json:"api_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &who))
	require.Equal(t, s.keyStack.user, who.Username)
	require.Equal(t, "api_key", who.Type)
	require.Empty(t, who.Roles)
	return who.Key.Name, who.Key.ID
}

// TestABasicLicenceIsEnough for clients that have the privileges of their groups, and nothing more.
func TestABasicLicenceIsEnough(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions + "," + *basicVersions) {
		t.Run(version, func(t *testing.T) {
			s := newBasicStack(t, version)
			alice, bob := clientCA().Client("alice", "analysts", "guests"), clientCA().Client("bob", "operators")
			t.Run("a client has the privileges of its groups", func(t *testing.T) { s.testPrivileges(t, alice, bob) })
			t.Run("a key says whose it is", func(t *testing.T) { s.testMetadata(t, alice) })
			t.Run("no key outlives its certificate", s.testCertificateEnds)
			t.Run("a client gains nothing by its key", func(t *testing.T) { s.testGains(t, alice, bob) })
			t.Run("names", s.testNames)
			t.Run("a replica and a restart make no key", func(t *testing.T) { s.testRestart(t, alice, bob) })
			t.Run("a key that nobody needs is deleted", func(t *testing.T) { s.testStray(t, alice) })
			t.Run("somebody else deletes a key", func(t *testing.T) { s.testDeleted(t, alice) })
			t.Run("a changed role counts", func(t *testing.T) { s.testRole(t, alice) })
			t.Run("what the proxy's user gains reaches the keys", s.testGranted)
			t.Run("the proxy's password changes", func(t *testing.T) { s.testPassword(t, alice) })
			t.Run("a denied client's key is deleted", func(t *testing.T) { s.testDenied(t, alice, bob) })
		})
	}
}

// ask asks the node through the proxy, on a connection of its own.
func (s *basicStack) ask(t *testing.T, client pki.Pair, method, path, body string) answer {
	t.Helper()
	return send(t, &http.Client{Transport: s.site.http1(client.TLS)}, method, s.site.url(path), body, nil)
}

func (s *basicStack) testPrivileges(t *testing.T, alice, bob pki.Pair) {
	const search = `{"query":{"match":{"item":"wine"}}}`
	found := s.ask(t, alice, http.MethodPost, "/sales/_search", search)
	require.Equal(t, http.StatusOK, found.status, found.body)
	require.Contains(t, found.body, `"price":12`)
	require.Equal(t, http.StatusForbidden, s.ask(t, bob, http.MethodPost, "/sales/_search", search).status)
	require.Equal(t, http.StatusOK, s.ask(t, bob, http.MethodGet, "/_cluster/health", "").status)
	require.Equal(t, http.StatusForbidden, s.ask(t, alice, http.MethodGet, "/_cluster/health", "").status)
	both := clientCA().Client("carol", "analysts", "operators")
	require.Equal(t, http.StatusOK, s.ask(t, both, http.MethodPost, "/sales/_search", search).status)
	require.Equal(t, http.StatusOK, s.ask(t, both, http.MethodGet, "/_cluster/health", "").status)
	for _, groups := range [][]string{nil, {"others"}, {"Analysts"}} {
		none := s.ask(t, clientCA().Client("dave", groups...), http.MethodPost, "/sales/_search", search)
		require.Equal(t, http.StatusForbidden, none.status)
		require.Contains(t, none.body, "no_role")
	}
}

func (s *basicStack) testMetadata(t *testing.T, alice pki.Pair) {
	name, id := s.who(t, alice.TLS, nil)
	require.Equal(t, "alice", name)
	keys := s.keysNamed(t, "alice")
	require.Len(t, keys, 1)
	require.Equal(t, id, keys[0].ID)
	about, fingerprint := keys[0].Metadata.About, sha256.Sum256(alice.TLS.Leaf.Raw)
	require.Equal(t, "alice", about.Principal)
	require.Equal(t, []string{"analysts", "guests"}, about.Groups)
	require.Equal(t, hex.EncodeToString(fingerprint[:]), about.Fingerprint)
}

func (s *basicStack) testCertificateEnds(t *testing.T) {
	erin := clientCA().Issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "erin", Organization: []string{"analysts"}},
		NotAfter: time.Now().Add(time.Minute),
	})
	s.who(t, erin.TLS, nil)
	for _, k := range s.keysNamed(t, "erin") {
		require.LessOrEqual(t, time.UnixMilli(k.Expiration), erin.TLS.Leaf.NotAfter)
	}
	longer := clientCA().Client("erin", "analysts")
	_, id := s.who(t, longer.TLS, nil)
	short := clientCA().Issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "erin", Organization: []string{"analysts"}},
		NotAfter: time.Now().Add(30 * time.Second),
	})
	_, other := s.who(t, short.TLS, nil)
	require.NotEqual(t, id, other, "one person with two certificates: the key of the longer one is not for the shorter")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		found := false
		for _, k := range s.keysNamed(t, "erin") {
			if k.ID == other {
				found = true
				assert.LessOrEqual(c, time.UnixMilli(k.Expiration), short.TLS.Leaf.NotAfter)
			}
		}
		assert.True(c, found)
	}, 20*time.Second, 200*time.Millisecond)
}

func (s *basicStack) testGains(t *testing.T, alice, bob pki.Pair) {
	for name, descriptors := range map[string]string{
		"more":  `{"r":{"cluster":["all"],"indices":[{"names":["*"],"privileges":["all"]}]}}`,
		"own":   `{"r":{"cluster":["monitor"]}}`,
		"empty": `{}`,
	} {
		body := `{"name":"derived","role_descriptors":` + descriptors + `}`
		for client, want := range map[*pki.Pair]int{&alice: http.StatusForbidden, &bob: http.StatusBadRequest} {
			got := s.ask(t, *client, http.MethodPost, "/_security/api_key", body)
			require.Equal(t, want, got.status, "%s: %s", name, got.body)
		}
	}
	// A key that can do nothing is all that bob, whose role has manage_own_api_key, can make of his.
	got := s.ask(t, bob, http.MethodPost, "/_security/api_key", `{"name":"derived","role_descriptors":{"r":{}}}`)
	if got.status == http.StatusOK {
		var made struct{ Encoded string }
		require.NoError(t, json.Unmarshal([]byte(got.body), &made))
		derived := send(t, directClient(), http.MethodGet, s.es.URL()+"/_cluster/health", "",
			http.Header{"Authorization": {"ApiKey " + made.Encoded}})
		require.Equal(t, http.StatusForbidden, derived.status)
	}
	password := s.ask(t, bob, http.MethodPut, "/_security/user/_password", `{"password":"mine-from-now-on"}`)
	require.Equal(t, http.StatusForbidden, password.status, password.body)
	for name, header := range spoofs("spoofed.spoofed.spoofed") {
		for want, client := range map[string]pki.Pair{"alice": alice, "bob": bob} {
			got, _ := s.who(t, client.TLS, header)
			require.Equal(t, want, got, name)
		}
	}
}

// testNames: a key can have any name that can be printed. The rest is refused.
func (s *basicStack) testNames(t *testing.T) {
	for _, name := range []string{"Zoë", "a b"} {
		got, _ := s.who(t, clientCA().Client(name, "analysts").TLS, nil)
		require.Equal(t, name, got)
	}
	refused := s.ask(t, clientCA().Client("_x", "analysts"), http.MethodGet, "/", "")
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, refused.body, "invalid_name")
}

func (s *basicStack) testRestart(t *testing.T, alice, bob pki.Pair) {
	clients := []pki.Pair{alice, bob}
	before := make(map[string]string)
	for _, c := range clients {
		name, id := s.who(t, c.TLS, nil)
		before[name] = id
	}
	ids := func() (ids []string) {
		time.Sleep(1500 * time.Millisecond) // until the node finds what was made
		for _, k := range s.keys(t) {
			ids = append(ids, k.ID)
		}
		return ids
	}
	made := ids()
	requireSame := func(replica *front) {
		t.Helper()
		for _, c := range clients {
			name, id := s.whoAt(t, replica, c.TLS, nil)
			require.Equal(t, before[name], id)
		}
	}
	requireSame(s.replica(t, "XDG_DATA_HOME="+s.caddy.DataHome()))
	for _, end := range []func() error{s.caddy.Stop, s.caddy.Kill} {
		require.NoError(t, end())
		require.NoError(t, s.caddy.Run(t.Context(), s.keyCaddyfile(t)))
		requireSame(s.front)
	}
	require.Subset(t, made, ids())
	requireLogged(t, s.caddy, "the cluster has what `credential api_key` needs")
	requireLogged(t, s.caddy, "credential found")
}

// testStray: a key that a Caddy has made and not stored is deleted. Those of others stay.
func (s *basicStack) testStray(t *testing.T, alice pki.Pair) {
	_, id := s.who(t, alice.TLS, nil)
	store := s.keysNamed(t, "alice")[0].Metadata.About.Store
	require.NotEmpty(t, store)
	stray, foreign := s.makeFor(t, store), s.makeFor(t, "another")
	s.requireInvalidated(t, stray)
	require.False(t, s.isInvalidated(t, foreign))
	require.False(t, s.isInvalidated(t, id))
}

// testDeleted: the client whose key it was gets another one, and notices nothing.
func (s *basicStack) testDeleted(t *testing.T, alice pki.Pair) {
	_, id := s.who(t, alice.TLS, nil)
	s.do(t, http.MethodDelete, "/_security/api_key", `{"ids":["`+id+`"]}`)
	_, another := s.who(t, alice.TLS, nil)
	require.NotEqual(t, id, another)
}

func (s *basicStack) testRole(t *testing.T, alice pki.Pair) {
	_, before := s.who(t, alice.TLS, nil)
	s.write(t, "analysts.json", `{"cluster":["monitor"],"indices":[{"names":["sales*"],"privileges":["read"]}]}`)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, http.StatusOK, s.ask(t, alice, http.MethodGet, "/_cluster/health", "").status)
	}, 40*time.Second, 200*time.Millisecond)
	s.write(t, "analysts.json", `{"cluster":[`) // which changes nothing
	s.write(t, "analysts.json", `{"indices":[{"names":["sales*"],"privileges":["read"]}]}`)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, http.StatusForbidden, s.ask(t, alice, http.MethodGet, "/_cluster/health", "").status)
	}, 40*time.Second, 200*time.Millisecond)
	require.Equal(t, http.StatusOK, s.ask(t, alice, http.MethodGet, "/sales/_search", "").status)
	t.Logf("the key before was invalidated meanwhile: %v", s.isInvalidated(t, before))
}

func (s *basicStack) testGranted(t *testing.T) {
	setRoles := func(roles string) {
		s.do(t, http.MethodPut, "/_security/user/"+s.keyStack.user, `{"roles":[`+roles+`]}`)
	}
	setRoles(`"key_maker","sales_reader"`)
	s.write(t, "operators.json", `{"cluster": ["monitor","manage_own_api_key"]}`) // so that it is checked again
	requireLogged(t, s.caddy, "lacks what the role of the group \\\"operators\\\" has: the cluster privilege monitor")
	gil := clientCA().Client("gil", "operators")
	require.Equal(t, http.StatusForbidden, s.ask(t, gil, http.MethodGet, "/_cluster/health", "").status)
	_, id := s.who(t, gil.TLS, nil)
	setRoles(`"key_maker","sales_reader","cluster_watcher"`)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, http.StatusOK, s.ask(t, gil, http.MethodGet, "/_cluster/health", "").status)
	}, time.Minute, time.Second)
	_, still := s.who(t, gil.TLS, nil)
	require.Equal(t, id, still)
}

func (s *basicStack) testPassword(t *testing.T, alice pki.Pair) {
	_, before := s.who(t, alice.TLS, nil)
	s.do(t, http.MethodPost, "/_security/user/"+s.keyStack.user+"/_password", `{"password":"`+nextPassword+`"}`)
	_, id := s.who(t, alice.TLS, nil)
	require.Equal(t, before, id, "clients that have a key go on")
	late := s.ask(t, clientCA().Client("frank", "analysts"), http.MethodGet, "/sales/_search", "")
	require.Equal(t, http.StatusBadGateway, late.status)
	require.Contains(t, late.body, "proxy_refused")
	s.write(t, "user", s.keyStack.user+":"+nextPassword+"\n")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		got := s.ask(t, clientCA().Client("grace", "analysts"), http.MethodGet, "/sales/_search", "")
		assert.Equal(c, http.StatusOK, got.status, got.body)
	}, 40*time.Second, 500*time.Millisecond)
	_, id = s.who(t, alice.TLS, nil)
	require.Equal(t, before, id, "the keys that the old password has sealed can be read")
}

func (s *basicStack) testDenied(t *testing.T, alice, bob pki.Pair) {
	_, id := s.who(t, alice.TLS, nil)
	_, others := s.who(t, bob.TLS, nil)
	s.deny(t, sha256.Sum256(alice.TLS.Leaf.Raw))
	s.requireInvalidated(t, id)
	require.Equal(t, http.StatusForbidden, s.ask(t, alice, http.MethodGet, "/sales/_search", "").status)
	_, still := s.who(t, bob.TLS, nil)
	require.Equal(t, others, still)
}
