package esjwt_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// TestAChangedFileOfTheTrustPoolCounts, for certificates that were let in and for those that were refused.
func TestAChangedFileOfTheTrustPoolCounts(t *testing.T) {
	for name, pool := range map[string]string{
		"file":                 `{"provider":"file","pem_files":["FILE","OTHER"]}`,
		"combined":             `{"provider":"combined","sources":[{"provider":"file","pem_files":["FILE"]},INLINE]}`,
		"combined, of a file":  `{"provider":"combined","sources":[{"provider":"file","pem_files":["FILE","OTHER"]}]}`,
		"combined, of several": `{"provider":"combined","sources":[INLINE,{"provider":"file","pem_files":["FILE"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				first, second := newAuthority(t, "first authority"), newAuthority(t, "second authority")
				other := newAuthority(t, "other authority")
				file := writeFile(t, "clients-ca.pem", pemOf(first.cert.Raw))
				inline := `{"provider":"inline","trusted_ca_certs":["` + base64.StdEncoding.EncodeToString(other.cert.Raw) + `"]}`
				h := configured(t, `,"trust_pool":`+
					strings.NewReplacer("FILE", file, "OTHER", other.file(), "INLINE", inline).Replace(pool))
				alice := referenceRequest(first.client("alice").Leaf, first.cert)
				bob := referenceRequest(second.client("bob").Leaf, second.cert)
				carol := referenceRequest(other.client("carol").Leaf, other.cert)
				ask := func(wantAlice, wantBob string) {
					t.Helper()
					for range 2 { // the first time and once it is known
						require.Equal(t, wantAlice, identityOf(h, alice))
						require.Equal(t, wantBob, identityOf(h, bob))
						require.Equal(t, "carol []", identityOf(h, carol))
					}
				}
				write := func(authorities ...*authority) {
					t.Helper()
					var content []byte
					for _, a := range authorities {
						content = append(content, pemOf(a.cert.Raw)...)
					}
					require.NoError(t, os.WriteFile(file, content, 0o600))
					time.Sleep(watch.Latest)
					synctest.Wait()
				}
				ask("alice []", "refused: unverified")
				write(first, second)
				ask("alice []", "bob []")
				write(second)
				ask("refused: unverified", "bob []")
				write()
				ask("refused: unverified", "bob []")
				require.NoError(t, os.Remove(file))
				time.Sleep(watch.Latest)
				ask("refused: unverified", "bob []")
				write(first)
				ask("alice []", "refused: unverified")
			})
		})
	}
}

// TestAnUpgradedConnectionEndsWhenItsAuthorityIsTakenOutOfTheFile.
func TestAnUpgradedConnectionEndsWhenItsAuthorityIsTakenOutOfTheFile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		first, second := newAuthority(t, "first authority"), newAuthority(t, "second authority")
		file := writeFile(t, "clients-ca.pem", pemOf(first.cert.Raw))
		h := configured(t, `,"trust_pool":{"provider":"file","pem_files":["`+file+`"]}`)
		r := referenceRequest(first.client("alice").Leaf, first.cert)
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
		ended := upgraded(h, r, time.Hour)
		both := append(pemOf(second.cert.Raw), pemOf(first.cert.Raw)...)
		require.NoError(t, os.WriteFile(file, both, 0o600))
		time.Sleep(time.Minute)
		require.Empty(t, ended, "it goes on under the new pool, which has her authority too")
		require.NoError(t, os.WriteFile(file, pemOf(second.cert.Raw), 0o600))
		time.Sleep(time.Minute)
		refusal, ok := asRefusal(<-ended)
		require.True(t, ok)
		require.Equal(t, "unverified", refusal.Reason)
	})
}

// TestExplainAsksTheFileOfTheTrustPoolAsItIsNow.
func TestExplainAsksTheFileOfTheTrustPoolAsItIsNow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		first, second := newAuthority(t, "first authority"), newAuthority(t, "second authority")
		file := writeFile(t, "clients-ca.pem", pemOf(first.cert.Raw))
		r := startReplica(t, replicaConfig{handler: `,"trust_pool":{"provider":"file","pem_files":["` + file + `"]}`})
		explain := func() string {
			rec := httptest.NewRecorder()
			operate(r).api.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/elasticsearch_jwt/explain",
				bytes.NewReader(pemOf(second.client("bob").Leaf.Raw))))
			return rec.Body.String()
		}
		require.Contains(t, explain(), `"reason":"unverified"`)
		require.NoError(t, os.WriteFile(file, pemOf(second.cert.Raw), 0o600))
		time.Sleep(watch.Latest)
		require.Contains(t, explain(), `"principal":"bob"`)
	})
}

// TestAClientOfANewAuthorityIsLetInWithoutAReload, through a Caddy whose clients keep their connections.
func TestAClientOfANewAuthorityIsLetInWithoutAReload(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	second := newAuthority(t, "second authority")
	alice, bob := s.httpClient(s.clients.client("alice")), s.httpClient(second.client("bob"))
	require.Equal(t, "alice []", s.seen(alice, "/"))
	require.Equal(t, "unverified", s.seen(bob, "/"))
	require.NoError(t, os.WriteFile(s.clients.file(), pemOf(second.cert.Raw), 0o600))
	eventually(t, func() bool { return s.seen(bob, "/") == "bob []" }, "bob is let in")
	require.Equal(t, "unverified", s.seen(alice, "/"))
}
