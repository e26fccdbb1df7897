package esjwt_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// churn replaces a file again and again for as long as it takes for what it says to count: content
// makes another text of it each time.
func churn(t *testing.T, file string, every time.Duration, content func(n int) []byte) {
	t.Helper()
	n := 0
	for end := time.Now().Add(watch.Latest); time.Now().Before(end); time.Sleep(every) {
		n++
		if n%2 == 0 {
			require.NoError(t, os.WriteFile(file, content(n), 0o600))
			continue
		}
		require.NoError(t, os.WriteFile(file+".new", content(n), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	synctest.Wait()
}

// TestAFileThatNeverRestsCounts, whatever it is: a deny list that a job writes every second was never
// believed, and a denied client went on for as long as the job ran. (The ways in which a file can be
// replaced are for the tests of internal/watch.)
func TestAFileThatNeverRestsCounts(t *testing.T) {
	const every = 200 * time.Millisecond
	file := func(t *testing.T, content string) string { return writeFile(t, "watched", []byte(content)) }

	t.Run("deny", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			denied := file(t, "")
			r := startReplica(t, replicaConfig{handler: `,"deny":["` + denied + `"]`})
			synctest.Wait()
			_, err := r.authorization()
			require.NoError(t, err)
			churn(t, denied, every, func(n int) []byte {
				return fmt.Appendf(nil, "# %d\nsubject CN=alice,O=analysts\n", n)
			})
			require.Equal(t, "403 revoked", r.refusal())
			require.Contains(t, r.logs.String(), "it changes all the time")
			time.Sleep(time.Minute)
		})
	})
	t.Run("crl", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ca := newAuthority(t, "clients authority")
			eve := ca.client("eve").Leaf
			list := writeFile(t, "watched", revocationList(t, ca, time.Now().Add(time.Hour)))
			h := configured(t, `,"crl":["`+list+`"]`)
			require.Equal(t, "eve []", identityOf(h, referenceRequest(eve, ca.cert)))
			churn(t, list, every, func(int) []byte { return revocationList(t, ca, time.Now().Add(time.Hour), eve) })
			require.Equal(t, "refused: revoked", identityOf(h, referenceRequest(eve, ca.cert)))
		})
	})
	t.Run("role_mapping", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ca := newAuthority(t, "clients authority")
			alice := ca.client("alice").Leaf
			mapping := file(t, "reader: ['CN=alice']\n")
			h := configured(t, `,"groups":["{cert.ou}"],"role_mapping":"`+mapping+`"`)
			require.Equal(t, "alice [reader]", identityOf(h, referenceRequest(alice, ca.cert)))
			churn(t, mapping, every, func(n int) []byte { return fmt.Appendf(nil, "# %d\nwriter: ['CN=alice']\n", n) })
			require.Equal(t, "alice [writer]", identityOf(h, referenceRequest(alice, ca.cert)))
		})
	})
	t.Run("trust_pool", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			first, second := newAuthority(t, "first authority"), newAuthority(t, "second authority")
			alice, bob := first.client("alice").Leaf, second.client("bob").Leaf
			authorities := file(t, string(pemOf(first.cert.Raw)))
			h := configured(t, `,"trust_pool":{"provider":"file","pem_files":["`+authorities+`"]}`)
			require.Equal(t, "alice []", identityOf(h, referenceRequest(alice, first.cert)))
			churn(t, authorities, every, func(n int) []byte {
				return append(fmt.Appendf(nil, "# %d\n", n), pemOf(second.cert.Raw)...)
			})
			require.Equal(t, "bob []", identityOf(h, referenceRequest(bob, second.cert)))
			require.Equal(t, "refused: unverified", identityOf(h, referenceRequest(alice, first.cert)))
		})
	})
	t.Run("shared_secret", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ca := newAuthority(t, "clients authority")
			secret := file(t, "old")
			h := configured(t, `,"shared_secret":"{file.`+secret+`}"`)
			churn(t, secret, every, func(n int) []byte { return fmt.Appendf(nil, "new%d", n) })
			var sent string
			err := h.ServeHTTP(httptest.NewRecorder(), referenceRequest(ca.client("alice").Leaf, ca.cert),
				handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
					sent = r.Header.Get("Es-Client-Authentication")
					return nil
				}))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(sent, "SharedSecret new"), sent)
		})
	})
	t.Run("key file", func(t *testing.T) {
		one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
		key := writeFile(t, "watched", pkcs8(t, one))
		bubble.Test(t, func(t *testing.T) {
			r := startReplica(t, fileKeys(t, "", key))
			synctest.Wait()
			require.Equal(t, thumbprint(t, one), r.signs())
			churn(t, key, every, func(n int) []byte { return append(fmt.Appendf(nil, "# %d\n", n), pkcs8(t, two)...) })
			require.Equal(t, thumbprint(t, two), r.signs())
		})
	})
	t.Run("secret", func(t *testing.T) {
		secret := writeFile(t, "watched", []byte(hmacSecret))
		bubble.Test(t, func(t *testing.T) {
			r := startReplica(t, secretKeys(t, secret, ""))
			r.verifiedWith([]byte(hmacSecret), jose.HS256)
			churn(t, secret, every, func(n int) []byte {
				return append([]byte("new "+hmacSecret),
					strings.Repeat("\n", n%2)...)
			})
			r.verifiedWith([]byte("new "+hmacSecret), jose.HS256)
		})
	})
}

// unusable reads the metric of one setting.
func (r *replica) unusable(setting string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, family := range families {
		if family.GetName() != "caddy_elasticsearch_jwt_unusable_sources" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == setting {
				return m.GetGauge().GetValue()
			}
		}
	}
	require.Failf(r.t, "no metric", "unusable_sources{setting=%q}", setting)
	return 0
}

// TestAListThatIsRefusedIsAsVisibleAsAnOutage: the old one goes on, and one line in the log, hours ago,
// is what nobody sees when a line with a mistake keeps the next ones from denying anybody.
func TestAListThatIsRefusedIsAsVisibleAsAnOutage(t *testing.T) {
	for setting, c := range map[string]struct{ good, bad, settings string }{
		"deny":          {"subject CN=eve\n", "subject CN=eve\nsubjekt CN=mallory\n", `,"deny":["FILE","OTHER"]`},
		"crl":           {"", "-----BEGIN X509 CRL-----\nhalf of a list", `,"crl":["FILE","OTHER"]`},
		"role_mapping":  {"reader: ['CN=alice']\n", "reader: [\n", `,"role_mapping":"FILE"`},
		"shared_secret": {"opensesame", "two\nlines", `,"shared_secret":"{file.FILE}"`},
		"trust_pool":    {"", "", `,"trust_pool":{"provider":"file","pem_files":["FILE","OTHER"]}`},
	} {
		t.Run(setting, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				if setting == "trust_pool" {
					c.good = string(pemOf(newAuthority(t, "clients authority").cert.Raw))
					c.bad = c.good + c.good[:100]
				}
				if setting == "crl" {
					c.good = string(revocationList(t, newAuthority(t, "clients authority"), time.Now().Add(1000*time.Hour)))
				}
				file, other := writeFile(t, "watched", []byte(c.good)), writeFile(t, "other", []byte(c.good))
				r := startReplica(t, replicaConfig{handler: strings.NewReplacer("FILE", file, "OTHER", other).Replace(c.settings)})
				synctest.Wait()
				require.Zero(t, r.unusable(setting), "it shows from the start")

				for name, breakIt := range map[string]func() error{
					"refused": func() error { return os.WriteFile(file, []byte(c.bad), 0o600) },
					"gone":    func() error { return os.Remove(file) },
				} {
					require.NoError(t, breakIt())
					before := len(r.logs.String())
					time.Sleep(time.Hour)
					require.Equal(t, 1.0, r.unusable(setting), name)
					logs := r.logs.String()[before:]
					require.Equal(t, 1, strings.Count(logs, `"the source cannot be read or used; what was read before goes on"`))
					require.InDelta(t, 59, strings.Count(logs,
						`"the source still cannot be read or used; what was read before goes on"`), 2)
					require.Contains(t, logs, file)
					require.NotContains(t, logs, "opensesame")

					require.NoError(t, os.WriteFile(file, []byte(c.good), 0o600))
					time.Sleep(watch.Latest)
					require.Zero(t, r.unusable(setting), name)
					require.Contains(t, r.logs.String()[before:], "the source can be read and used again")
				}
			})
		})
	}
}

// TestAListThatCannotBeFetchedIsAsVisible, with nothing of its URL that can be a secret.
func TestAListThatCannotBeFetchedIsAsVisible(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		r := startReplica(t,
			replicaConfig{handler: `,"crl":["http://TOKEN:PASSWORD@127.0.0.1:1/clients.crl?key=QUERY#FRAGMENT"]`})
		require.Equal(t, 1.0, r.unusable("crl"))
		time.Sleep(10 * time.Minute)
		logs := r.logs.String()
		require.Contains(t, logs, "the source cannot be read or used; nothing was read before")
		require.Greater(t, strings.Count(logs, "the source still cannot be read or used; nothing was read before"), 5)
		require.Contains(t, logs, "http://xxxxx@127.0.0.1:1/clients.crl?xxxxx#xxxxx")
		requireNoSecretOfURL(t, logs)
	})
}

func requireNoSecretOfURL(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"TOKEN", "PASSWORD", "QUERY", "FRAGMENT"} {
		require.NotContains(t, text, secret)
	}
}

// TestAURLShowsNoSecret: a token is a user's name as often as it is a password.
func TestAURLShowsNoSecret(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, userinfo := range []string{"TOKEN@", "TOKEN:PASSWORD@", ":PASSWORD@", "TOKEN:@", "TOKEN%40PASSWORD@"} {
		address := "http://" + userinfo + host + "/clients.crl?QUERY#FRAGMENT"
		t.Run(userinfo, func(t *testing.T) {
			r := startReplica(t, replicaConfig{handler: `,"crl":["` + address + `"]`})
			_, err := r.authorization()
			require.Error(t, err)
			requireNoSecretOfURL(t, err.Error())
			requireNoSecretOfURL(t, r.logs.String())
			require.Contains(t, r.logs.String(), "http://xxxxx@"+host+"/clients.crl?xxxxx#xxxxx")

			rec := httptest.NewRecorder()
			alice := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.client("alice").Leaf.Raw})
			operate(r).api.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/elasticsearch_jwt/explain",
				bytes.NewReader(alice)))
			require.Contains(t, rec.Body.String(), "crl http://xxxxx@"+host)
			requireNoSecretOfURL(t, rec.Body.String())
		})
	}
	for name, address := range map[string]string{
		"a brace":               "http://TOKEN:{PASSWORD@es.example.com/?QUERY#FRAGMENT",
		"a certificate's value": "http://TOKEN:{cert.cn}@es.example.com/?QUERY#FRAGMENT",
		"a control character":   `http://TOKEN:PASSWORD\u0001@es.example.com/?QUERY#FRAGMENT`,
		"a hash in a password":  "http://TOKEN:PASS#WORD@es.example.com/?QUERY",
		"no host":               "http://TOKEN:PASSWORD@/clients.crl?QUERY#FRAGMENT",
		"another protocol":      "ftp://TOKEN:PASSWORD@es.example.com/?QUERY#FRAGMENT",
		"a slash too few":       "http:/TOKEN:PASSWORD@es.example.com/?QUERY#FRAGMENT",
		"no slash":              "https:TOKEN:PASSWORD@es.example.com/?QUERY#FRAGMENT",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryReplica(t, replicaConfig{handler: `,"crl":["` + address + `"]`})
			require.ErrorContains(t, err, "crl: ")
			requireNoSecretOfURL(t, err.Error())
		})
	}
	t.Run("a trust pool", func(t *testing.T) { // Caddy's own errors have the whole URL in them
		for _, address := range []string{server.URL, "http://127.0.0.1:1"} {
			address = strings.Replace(address, "://", "://TOKEN:PASSWORD@", 1) + "/ca.pem?QUERY#FRAGMENT"
			_, err := tryReplica(t, replicaConfig{handler: `,"trust_pool":{"provider":"http","endpoints":["` + address + `"]}`})
			require.ErrorContains(t, err, "trust_pool: ")
			require.ErrorContains(t, err, "http://xxxxx@127.0.0.1:")
			requireNoSecretOfURL(t, err.Error())

			ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
			require.NoError(t, err)
			_, err = ctx.LoadModuleByID("http.reverse_proxy.transport.elasticsearch_jwt",
				json.RawMessage(`{"tls":{"ca":{"provider":"http","endpoints":["`+address+`"]}}}`))
			require.ErrorContains(t, err, "http://xxxxx@127.0.0.1:")
			requireNoSecretOfURL(t, err.Error())
		}
	})
	t.Run("a file's name is shown", func(t *testing.T) {
		_, err := tryReplica(t, replicaConfig{handler: `,"crl":["` + filepath.Join(t.TempDir(), "clients.crl") + `"]`})
		require.ErrorContains(t, err, "clients.crl: no such file or directory: name a file that Caddy can read")
	})
}
