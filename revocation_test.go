package esjwt_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestADeniedClientIsRefusedAtItsNextRequest, on the connection that it has; the others go on,
// and a list with a bad line changes nothing.
func TestADeniedClientIsRefusedAtItsNextRequest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		file := filepath.Join(t.TempDir(), "denied.txt")
		write := func(content string) {
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			time.Sleep(time.Minute)
		}
		write("# nobody yet\n")
		h := configured(t, `,"deny":["`+file+`"]`)
		eve, alice := ca.client("eve").Leaf, ca.client("alice").Leaf
		ask := func(want map[string]string) {
			t.Helper()
			require.Equal(t, want["alice"], identityOf(h, referenceRequest(alice, ca.cert)))
			require.Equal(t, want["eve"], identityOf(h, referenceRequest(eve, ca.cert)))
		}
		ask(map[string]string{"alice": "alice []", "eve": "eve []"})
		sum := sha256.Sum256(eve.Raw)
		for _, line := range []string{
			"fingerprint " + hex.EncodeToString(sum[:]),
			"serial " + hex.EncodeToString(eve.SerialNumber.Bytes()) + " issuer CN=clients authority",
			"subject cn=Eve",
		} {
			write(line + "\n")
			ask(map[string]string{"alice": "alice []", "eve": "refused: revoked"})
			write("subject CN=alice\nno such keyword\n")
			ask(map[string]string{"alice": "alice []", "eve": "refused: revoked"})
			write("\n")
			ask(map[string]string{"alice": "alice []", "eve": "eve []"})
		}
		sum = sha256.Sum256(ca.cert.Raw)
		write("fingerprint " + hex.EncodeToString(sum[:]) + "\n")
		ask(map[string]string{"alice": "refused: revoked", "eve": "refused: revoked"})
	})
}

// TestADenyListThatIsEmptiedIsAWarning: that it denies nobody any more is what a mistake looks like.
func TestADenyListThatIsEmptiedIsAWarning(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		file := writeFile(t, "denied.txt", []byte("subject CN=eve\n"))
		r := startReplica(t, replicaConfig{handler: `,"deny":["` + file + `"]`})
		synctest.Wait()
		require.NotContains(t, r.logs.String(), "denies nobody")
		require.NoError(t, os.WriteFile(file, []byte("# subject CN=eve\n"), 0o600))
		settle()
		require.Contains(t, r.logs.String(), "the deny list was emptied, and denies nobody any more")
		require.Contains(t, r.logs.String(), file)
	})
}

// TestADeniedClientIsRefusedInMidConnection is the same over real TLS.
func TestADeniedClientIsRefusedInMidConnection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "denied.txt")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := newSceneOf(t, ownPool, "{{settings}}", "deny "+file)
	client := s.httpClient(s.clients.client("eve"))
	require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
	require.NoError(t, os.WriteFile(file, []byte("subject CN=eve\n"), 0o600))
	require.Eventually(t, func() bool {
		a := s.get(client, "/")
		return a.StatusCode == http.StatusForbidden && a.body == "revoked"
	}, time.Minute, 200*time.Millisecond)
}

// TestARevokedClientIsRefused by its issuer's list, from a file or a URL; a list that has run out
// is not believed, unless that was asked for.
func TestARevokedClientIsRefused(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	eve, alice := ca.client("eve").Leaf, ca.client("alice").Leaf
	day := time.Now().Add(24 * time.Hour)
	past := time.Now().Add(-time.Second)
	impostor := newAuthority(t, "clients authority")
	impostor.cert.SubjectKeyId = ca.cert.SubjectKeyId
	pemOf := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

	tests := []struct {
		name, settings string
		list           []byte
		alice, eve     string
	}{
		{"DER", "", revocationList(t, ca, day, eve), "alice []", "refused: revoked"},
		{"PEM", "", pemOf(revocationList(t, ca, day, eve)), "alice []", "refused: revoked"},
		{"with nobody on it", "", revocationList(t, ca, day), "alice []", "eve []"},
		{"of another issuer", "", revocationList(t, newAuthority(t, "another authority"), day, eve), "alice []", "eve []"},
		{"of an impostor", "", revocationList(t, impostor, day), "refused: revoked", "refused: revoked"},
		{"out of date", "", revocationList(t, ca, past, eve), "refused: revoked", "refused: revoked"},
		{
			"out of date, which is allowed", `,"crl_stale":"allow"`, revocationList(t, ca, past, eve), "alice []",
			"refused: revoked",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "clients.crl")
			require.NoError(t, os.WriteFile(file, tt.list, 0o600))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_,
					_ = w.Write(tt.list)
			}))
			defer server.Close()
			for _, source := range []string{file, server.URL} {
				h := configured(t, `,"crl":["`+source+`"]`+tt.settings)
				for range 2 {
					require.Equal(t, tt.alice, identityOf(h, referenceRequest(alice, ca.cert)), source)
					require.Equal(t, tt.eve, identityOf(h, referenceRequest(eve, ca.cert)), source)
				}
			}
		})
	}
	t.Run("a URL that does not answer", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		defer server.Close()
		require.Equal(t, "refused: revoked", identityOf(configured(t, `,"crl":["`+server.URL+`"]`),
			referenceRequest(alice, ca.cert)))
		require.Equal(t, "alice []", identityOf(configured(t, `,"crl":["`+server.URL+`"],"crl_stale":"allow"`),
			referenceRequest(alice, ca.cert)))
	})
}

// TestAListRunsOutWhileConnectionsLive, and its successor is noticed.
func TestAListRunsOutWhileConnectionsLive(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		r := referenceRequest(ca.client("alice").Leaf, ca.cert)
		file := filepath.Join(t.TempDir(), "clients.crl")
		require.NoError(t, os.WriteFile(file, revocationList(t, ca, time.Now().Add(time.Hour)), 0o600))
		h := configured(t, `,"crl":["`+file+`"]`)
		require.Equal(t, "alice []", identityOf(h, r))
		time.Sleep(time.Hour)
		require.Equal(t, "refused: revoked", identityOf(h, r))

		require.NoError(t, os.WriteFile(file, revocationList(t, ca, time.Now().Add(time.Hour)), 0o600))
		time.Sleep(time.Minute)
		require.Equal(t, "alice []", identityOf(h, r))
	})
}

// TestTheChainThatSpeaksForAClientIsValidAndNotDenied: one chain that is denied and another that
// has expired are not a good one together.
func TestTheChainThatSpeaksForAClientIsValidAndNotDenied(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		good, denied := *ca.cert, *newAuthority(t, "clients authority").cert
		good.NotAfter = time.Now().Add(time.Hour)
		file := filepath.Join(t.TempDir(), "denied.txt")
		sum := sha256.Sum256(denied.Raw)
		require.NoError(t, os.WriteFile(file, []byte("fingerprint "+hex.EncodeToString(sum[:])+"\n"), 0o600))
		h := configured(t, `,"deny":["`+file+`"]`)
		request := func(leaf *x509.Certificate, tops ...*x509.Certificate) *http.Request {
			r := referenceRequest(leaf, tops[0])
			for _, top := range tops[1:] {
				r.TLS.VerifiedChains = append(r.TLS.VerifiedChains, []*x509.Certificate{leaf, top})
			}
			return r
		}
		alice := ca.client("alice").Leaf
		require.Equal(t, "refused: revoked", identityOf(h, request(alice, &denied)))
		require.Equal(t, "alice []", identityOf(h, request(alice, &good, &denied)))
		require.Equal(t, "alice []", identityOf(h, request(alice, &denied, &good)))
		time.Sleep(time.Hour)
		require.Equal(t, "refused: revoked", identityOf(h, request(alice, &denied, &good)), "a client that is known")
		require.Equal(t, "refused: revoked", identityOf(h, request(ca.client("bob").Leaf, &good, &denied)), "a new one")
	})
}

// TestWhatOneLearnsOfAURLAllKnow: its handlers have the same lists, whichever of them has asked.
func TestWhatOneLearnsOfAURLAllKnow(t *testing.T) {
	var now atomic.Pointer[[]byte]
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if list := now.Load(); list != nil && asked.Add(1) == 1 {
			_, _ = w.Write(*list) // to the first alone
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	ca := newAuthority(t, "clients authority")
	eve := ca.client("eve").Leaf
	settings := `,"crl":["` + server.URL + `"]`
	one := configured(t, settings)
	require.Equal(t, "refused: revoked", identityOf(one, referenceRequest(ca.client("alice").Leaf, ca.cert)),
		"there is no list")
	list := revocationList(t, ca, time.Now().Add(time.Hour), eve)
	now.Store(&list)
	two := configured(t, settings)
	require.Equal(t, int64(1), asked.Load())
	for _, h := range []*esjwt.Handler{one, two} {
		require.Equal(t, "alice []", identityOf(h, referenceRequest(ca.client("alice").Leaf, ca.cert)))
		require.Equal(t, "refused: revoked", identityOf(h, referenceRequest(eve, ca.cert)))
	}
}

// TestAnOlderListFromAURLIsNotBelieved, nor is none at all, also when the configuration is loaded
// anew.
func TestAnOlderListFromAURLIsNotBelieved(t *testing.T) {
	type served struct{ list []byte }
	var now atomic.Pointer[served]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s := now.Load(); s != nil {
			_, _ = w.Write(s.list)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	s := newSceneOf(t, ownPool, "{{settings}}", "crl "+server.URL)
	eve := s.clients.client("eve")
	day := time.Now().Add(24 * time.Hour)
	older, newer := revocationList(t, s.clients, day), revocationList(t, s.clients, day, eve.Leaf)
	reload := func() {
		t.Helper()
		s.load(ownPool+"\n# another configuration\n", s.replacements("{{settings}}", "crl "+server.URL)...)
	}
	require.Equal(t, "revoked", s.sends(s.clients.client("alice")), "there is no list")

	now.Store(&served{newer})
	reload()
	require.Equal(t, "alice []", s.sends(s.clients.client("alice")))
	require.Equal(t, "revoked", s.sends(eve))
	for _, then := range []*served{{older}, nil, {older}} {
		now.Store(then)
		reload()
		require.Equal(t, "alice []", s.sends(s.clients.client("alice")))
		require.Equal(t, "revoked", s.sends(eve))
	}
	eventually(t, func() bool {
		return strings.Contains(s.logs.String(), "the URL gave an older revocation list than before")
	}, "a warning")
}
