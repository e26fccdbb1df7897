package esjwt_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func instant(claims map[string]any, name string) time.Time {
	return time.Unix(int64(claims[name].(float64)), 0)
}

// signatures is how many tokens were signed, in this process.
func signatures(t testing.TB, registry *prometheus.Registry) uint64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	n := uint64(0)
	for _, f := range families {
		if f.GetName() == "caddy_elasticsearch_jwt_signature_duration_seconds" {
			for _, m := range f.GetMetric() {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// TestAClientKeepsOneTokenForHalfItsLife: Elasticsearch's cache is keyed by the token's text.
// The next one is there before the old one gets too old, and no request waits for it.
func TestAClientKeepsOneTokenForHalfItsLife(t *testing.T) {
	for _, lifetime := range []time.Duration{5 * time.Minute, 10 * time.Minute, 61 * time.Minute} {
		t.Run(lifetime.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				clients := newAuthority(t, "clients authority")
				r := referenceRequest(clients.client("alice").Leaf, clients.cert)
				h := newHandler(t, fmt.Sprintf(`{"issuer":"i","audience":["a"],"lifetime":%d}`, lifetime), es256)
				seen := map[string]int{}
				const steps = 100
				for range steps {
					for range 3 {
						token := tokenOf(t, h, r)
						seen[token]++
						claims := unverifiedClaims(token)
						now := time.Now()
						require.False(t, instant(claims, "nbf").After(now.Add(-time.Minute)), "for clocks that are a minute behind")
						require.Greater(t, instant(claims, "exp").Sub(now), time.Minute, "for clocks that are a minute ahead")
						require.Equal(t, lifetime+time.Minute, instant(claims, "exp").Sub(instant(claims, "iat")))
						synctest.Wait() // the next token is signed in the background
					}
					time.Sleep(lifetime / 10)
				}
				// Ten steps are a lifetime, which has two windows.
				require.InDelta(t, steps/5, len(seen), 2)
			})
		})
	}
}

// TestAnIdleClientGetsANewTokenAtOnce: an old token is not handed out because it is at hand.
func TestAnIdleClientGetsANewTokenAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		clients := newAuthority(t, "clients authority")
		r := referenceRequest(clients.client("alice").Leaf, clients.cert)
		h := newHandler(t, benchConfig, es256)
		first := tokenOf(t, h, r)
		time.Sleep(9*time.Minute + 30*time.Second)
		require.NotEqual(t, first, tokenOf(t, h, r), "at most a minute was left of it")
	})
}

// TestEveryReplicaMakesTheSameToken: a token is a function of claims, key and window.
func TestEveryReplicaMakesTheSameToken(t *testing.T) {
	for _, algorithm := range []string{"RS256", "ES256", "ES512"} {
		t.Run(algorithm, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				clients := newAuthority(t, "clients authority")
				r := referenceRequest(clients.client("alice").Leaf, clients.cert)
				storage := t.TempDir()
				// Another spelling of the storage's path makes them strangers to each other.
				a, _ := newHandlerOn(t, storage, benchConfig, `{"source":"storage","algorithm":"`+algorithm+`"}`)
				token := tokenOf(t, a, r)
				b, _ := newHandlerOn(t, storage+"/.", benchConfig, `{"source":"storage","algorithm":"`+algorithm+`"}`)
				require.Equal(t, token, tokenOf(t, b, r))
				for range 20 {
					time.Sleep(time.Minute)
					synctest.Wait()
					tokenOf(t, a, r)
					tokenOf(t, b, r)
					synctest.Wait()
					require.Equal(t, tokenOf(t, a, r), tokenOf(t, b, r))
				}
			})
		})
	}
}

// TestEqualClaimsShareATokenAndOthersDoNot (fast-jwt CVE-2026-35039).
func TestEqualClaimsShareATokenAndOthersDoNot(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	issue := func(template x509.Certificate) *http.Request {
		return referenceRequest(clients.issue(template).Leaf, clients.cert)
	}
	named := pkix.Name{CommonName: "alice", Organization: []string{"a"}}
	storage := t.TempDir()
	h, _ := newHandlerOn(t, storage, benchConfig, es256)
	alice := tokenOf(t, h, issue(x509.Certificate{Subject: named}))

	require.Equal(t, alice, tokenOf(t, h, issue(x509.Certificate{Subject: named})), "a renewed certificate")
	require.Equal(t, alice, tokenOf(t, h, issue(x509.Certificate{Subject: named, DNSNames: []string{"x.example.com"}})),
		"what is no claim does not matter")

	for name, other := range map[string]*http.Request{
		"another name":   issue(x509.Certificate{Subject: pkix.Name{CommonName: "alicE", Organization: []string{"a"}}}),
		"another group":  issue(x509.Certificate{Subject: pkix.Name{CommonName: "alice", Organization: []string{"b"}}}),
		"no group":       issue(x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}),
		"name and group": issue(x509.Certificate{Subject: pkix.Name{CommonName: `alice,roles:[a`}}),
	} {
		require.NotEqual(t, alice, tokenOf(t, h, other), name)
	}
	for name, config := range map[string]string{
		"another issuer":   `{"issuer":"other","audience":["https://elasticsearch.example.com:9200"]}`,
		"another audience": `{"issuer":"https://es.example.com","audience":["other"]}`,
		"another lifetime": `{"issuer":"https://es.example.com","audience":["https://elasticsearch.example.com:9200"],` +
			`"lifetime":"20m"}`,
		"another claim": `{"issuer":"https://es.example.com","audience":["https://elasticsearch.example.com:9200"],` +
			`"claims":{"x":"y"}}`,
	} {
		other, _ := newHandlerOn(t, storage, config, es256)
		require.NotEqual(t, alice, tokenOf(t, other, issue(x509.Certificate{Subject: named})), name)
	}
}

// TestATokenNeverOutlivesItsCertificate, and a renewed certificate has a longer one.
func TestATokenNeverOutlivesItsCertificate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		clients := newAuthority(t, "clients authority")
		h := newHandler(t, benchConfig, es256)
		end := time.Now().Add(17 * time.Minute)
		old := referenceRequest(clients.issue(x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, NotAfter: end}).Leaf,
			clients.cert)
		renewed := referenceRequest(clients.client("alice").Leaf, clients.cert)
		for time.Now().Before(end) {
			require.False(t, instant(unverifiedClaims(tokenOf(t, h, old)), "exp").After(end))
			exp := instant(unverifiedClaims(tokenOf(t, h, renewed)), "exp")
			require.Greater(t, time.Until(exp), time.Minute)
			require.False(t, instant(unverifiedClaims(tokenOf(t, h, old)), "exp").After(end),
				"after the renewed one had its turn")
			synctest.Wait()
			time.Sleep(7 * time.Second)
		}
		require.Equal(t, "refused: expired", identityOf(h, old))
		require.Equal(t, "alice []", identityOf(h, renewed))
	})
}

// TestAChainIsAsGoodAsItsFirstEnd: an intermediate may end before the client's certificate.
func TestAChainIsAsGoodAsItsFirstEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		clients := newAuthority(t, "clients authority")
		short := *clients.cert
		short.NotAfter = time.Now().Add(4 * time.Minute)
		leaf := clients.client("alice").Leaf
		h := newHandler(t, benchConfig, es256)
		r := referenceRequest(leaf, &short)
		require.Equal(t, short.NotAfter.Unix(), instant(unverifiedClaims(tokenOf(t, h, r)), "exp").Unix())
		time.Sleep(4 * time.Minute)
		require.Equal(t, "refused: expired", identityOf(h, r))

		r.TLS.VerifiedChains = append(r.TLS.VerifiedChains, []*x509.Certificate{leaf, clients.cert})
		require.Equal(t, "alice []", identityOf(h, r), "another chain is still good")
	})
}

// TestOneSignatureServesAllWhoWaitForIt: a thousand first requests at once cost one signature.
func TestOneSignatureServesAllWhoWaitForIt(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	leaf := clients.client("alice").Leaf
	h, registry := newHandlerOn(t, t.TempDir(), benchConfig, es256)
	tokenOf(t, h, referenceRequest(clients.client("bob").Leaf, clients.cert)) // the keys are there
	before := signatures(t, registry)

	var wg sync.WaitGroup
	tokens := make([]string, 1000)
	start := make(chan struct{})
	for i := range tokens {
		wg.Go(func() {
			<-start
			r := referenceRequest(leaf, clients.cert)
			_ = h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				tokens[i] = r.Header.Get("Authorization")
				return nil
			}))
		})
	}
	close(start)
	wg.Wait()
	require.NotEmpty(t, tokens[0])
	for _, token := range tokens {
		require.Equal(t, tokens[0], token)
	}
	require.Equal(t, uint64(1), signatures(t, registry)-before)
}

// TestOnlyClientsCostASignature (attack: a flood of made-up certificates): who is refused has none made.
func TestOnlyClientsCostASignature(t *testing.T) {
	clients, others := newAuthority(t, "clients authority"), newAuthority(t, "made-up authority")
	h, registry := newHandlerOn(t, t.TempDir(),
		`{"issuer":"i","audience":["a"],"trust_pool":{"provider":"file","pem_files":["`+clients.file()+
			`"]},"certificate":"optional"}`, es256)
	token := tokenOf(t, h, referenceRequest(clients.client("alice").Leaf, clients.cert))
	before := signatures(t, registry)
	for range 50 {
		require.Equal(t, "refused: unverified", identityOf(h, referenceRequest(others.client("eve").Leaf, others.cert)))
		require.Equal(t, "refused: invalid_name", identityOf(h, referenceRequest(clients.client("*").Leaf, clients.cert)))
		withoutCertificate(t, h, "Basic YWJj")
		require.Equal(t, token, tokenOf(t, h, referenceRequest(clients.client("alice").Leaf, clients.cert)))
	}
	require.Equal(t, before, signatures(t, registry))
}

// TestAClientThatGivesUpDoesNotTakeTheOthersWithIt: the signature goes on without it.
func TestAClientThatGivesUpDoesNotTakeTheOthersWithIt(t *testing.T) {
	clients := newAuthority(t, "clients authority")
	h := newHandler(t, benchConfig, es256)
	r := referenceRequest(clients.client("alice").Leaf, clients.cert)
	tokenOf(t, h, r)
	for i := range 100 {
		leaf := clients.client(fmt.Sprintf("client-%d", i)).Leaf
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = identityOf(h, referenceRequest(leaf, clients.cert).WithContext(ctx)) // may be refused, or not
		require.Equal(t, fmt.Sprintf("client-%d []", i), identityOf(h, referenceRequest(leaf, clients.cert)))
	}
}

type handlerFunc = caddyhttp.HandlerFunc
