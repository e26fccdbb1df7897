package esjwt_test

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func TestTheJWKSIsReadWithoutACertificateAndNothingElseIs(t *testing.T) {
	s := newSceneOf(t, ecSite)
	anybody := s.httpClient()

	a := s.get(anybody, jwksPath)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Len(t, s.jwks().Keys, 2, "the key that signs and its successor")

	for _, path := range []string{
		"/", "/_search", jwksPath + "/", jwksPath + "x", "/.well-known/", "/x" + jwksPath,
		"/.well-known/JWKS.json",
	} {
		require.Equal(t, http.StatusUnauthorized, s.get(anybody, path).StatusCode, path)
	}
	s.upstream.requireNone(t)

	// Whoever has a certificate reads it as well, and it is never asked of the upstream.
	a = s.get(s.httpClient(s.clients.client("alice")), jwksPath)
	require.Equal(t, http.StatusOK, a.StatusCode)
	s.upstream.requireNone(t)
}

func TestTheJWKSIsNotReachedByARewrite(t *testing.T) {
	s := newSceneOf(t, strings.Replace(ecSite, "elasticsearch_jwks", "rewrite * /elsewhere{uri}\n\telasticsearch_jwks", 1))
	require.Equal(t, http.StatusOK, s.get(s.httpClient(), jwksPath).StatusCode)
}

func TestTheJWKSTakesGETAndHEADOnly(t *testing.T) {
	s := newSceneOf(t, ecSite)
	client := s.httpClient()
	ask := func(method string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+site+jwksPath, nil)
		require.NoError(t, err)
		a, err := s.do(client, req)
		require.NoError(t, err)
		return a
	}
	get := ask(http.MethodGet)
	require.Equal(t, http.StatusOK, get.StatusCode)
	require.Equal(t, "application/jwk-set+json", get.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", get.Header.Get("X-Content-Type-Options"))

	head := ask(http.MethodHead)
	require.Equal(t, http.StatusOK, head.StatusCode)
	require.Empty(t, head.body)
	require.EqualValues(t, len(get.body), head.ContentLength)
	require.Equal(t, get.Header.Get("ETag"), head.Header.Get("ETag"))

	for _, method := range []string{
		http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, "PROPFIND",
	} {
		a := ask(method)
		require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode, method)
		require.Equal(t, "GET, HEAD", a.Header.Get("Allow"), method)
		require.Empty(t, a.Header.Get("ETag"), method)
	}
	s.upstream.requireNone(t)
}

func TestACacheMayKeepTheJWKSForMaxAge(t *testing.T) {
	for settings, seconds := range map[string]int{
		"": 60, `"max_age":"5m"`: 300, `"max_age":"24h"`: 86400,
		`"max_age":"1s"`: 1,
	} {
		bubble.Test(t, func(t *testing.T) {
			r := startReplica(t, replicaConfig{storage: newMemory().view(t).config(), jwks: settings})
			synctest.Wait()
			rec, err := r.ask(http.MethodGet, jwksPath)
			require.NoError(t, err)
			require.Equal(t, "public, max-age="+strconv.Itoa(seconds), rec.Header().Get("Cache-Control"))
			expires, err := http.ParseTime(rec.Header().Get("Expires"))
			require.NoError(t, err)
			require.Equal(t, time.Now().Add(time.Duration(seconds)*time.Second).Truncate(time.Second), expires.Local())
		})
	}
}

func TestTheJWKSKeepsNoConnection(t *testing.T) {
	s := newSceneOf(t, ecSite)
	http1 := s.httpClient()
	http1.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	require.True(t, s.get(http1, jwksPath).Close)
	require.False(t, s.get(http1, "/").Close, "those of requests are kept")
}

func TestTheJWKSIsAnsweredWith304WhileItIsTheSame(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{storage: newMemory().view(t).config()})
		synctest.Wait()
		rec, err := r.ask(http.MethodGet, jwksPath)
		require.NoError(t, err)
		etag := rec.Header().Get("ETag")
		require.Regexp(t, `^"[A-Za-z0-9_-]{22}"$`, etag)

		for _, match := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				rec, err := r.ask(method, jwksPath, "If-None-Match", match)
				require.NoError(t, err)
				require.Equal(t, http.StatusNotModified, rec.Code, match)
				require.Empty(t, rec.Body.String())
				require.Equal(t, etag, rec.Header().Get("ETag"))
				require.Equal(t, "public, max-age=60", rec.Header().Get("Cache-Control"), "a cache that is told so keeps it on")
				require.NotEmpty(t, rec.Header().Get("Expires"))
			}
		}
		rec, err = r.ask(http.MethodGet, jwksPath, "If-None-Match", `"other"`)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, rec.Code)
	})
}

func TestTheJWKSIsTheSameToTheByteUntilAKeyComesOrGoes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		start := func() *replica {
			return startReplica(t, replicaConfig{
				storage: shared.view(t).config(),
				keys: map[string]string{
					"default": `{"source":"storage","algorithm":"ES256","rotate_every":"24h","retire_after":"1h"}`,
				},
			})
		}
		r := start()
		synctest.Wait()
		began := time.Now()
		first := r.document()
		require.True(t, strings.HasSuffix(first, "}]}\n"))

		for range 47 {
			time.Sleep(30 * time.Minute)
			require.Equal(t, first, r.document())
		}
		// Another replica, and what a restart would be, say the same.
		other := start()
		synctest.Wait()
		require.Equal(t, first, other.document())

		// A rotation adds a successor, and the old key goes once its tokens have expired:
		// 10 minutes and an hour after its last window.
		documents := []string{first}
		for time.Since(began) < 36*time.Hour {
			time.Sleep(time.Minute)
			if doc := r.document(); doc != documents[len(documents)-1] {
				documents = append(documents, doc)
			}
		}
		var kids [][]string
		for _, doc := range documents {
			var set jose.JSONWebKeySet
			require.NoError(t, json.Unmarshal([]byte(doc), &set))
			var k []string
			for _, key := range set.Keys {
				k = append(k, key.KeyID)
			}
			kids = append(kids, k)
		}
		require.Len(t, kids, 3)
		require.Len(t, kids[1], 3)
		require.Equal(t, kids[1][:2], kids[0])
		require.Equal(t, kids[1][1:], kids[2])
		require.Equal(t, documents[2], other.document())
	})
}

// TestEveryTokenNamesAKeyOfTheJWKS all through rotations, on schedule and by hand: without a kid, or with
// one that is blank or that two keys have, a node takes the wrong key (teleport#44245).
func TestEveryTokenNamesAKeyOfTheJWKS(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o := startOperated(t, replicaConfig{
			storage: newMemory().view(t).config(),
			keys: map[string]string{
				"default": `{"source":"storage","algorithm":"ES256","rotate_every":"6h","retire_after":"1h"}`,
			},
		})
		synctest.Wait()
		signed := map[string]bool{}
		for i := range 36 * 12 {
			if i%100 == 99 {
				o.rotate()
			}
			kids := o.kids()
			slices.Sort(kids)
			require.Len(t, slices.Compact(slices.Clone(kids)), len(kids), "two keys with one kid")
			for _, kid := range kids {
				require.Regexp(t, `^[\w-]{43}$`, kid)
			}
			kid := o.signs() // with a key of the JWKS
			require.Contains(t, kids, kid)
			signed[kid] = true
			time.Sleep(5 * time.Minute)
		}
		require.Greater(t, len(signed), 6)
	})
}

// TestTheJWKSHasPublicMembersOnly (eudi-wallet-it-python#526).
func TestTheJWKSHasPublicMembersOnly(t *testing.T) {
	dir := t.TempDir()
	var files []string
	write := func(name string, content []byte) {
		require.Contains(t, string(content), `"d":`)
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, content, 0o600))
		files = append(files, file)
	}
	write("rsa", jwk(t, rsaKey(), jose.PS384))
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		write(curve.Params().Name, jwk(t, ecKey(t, curve), ""))
	}
	listed, err := json.Marshal(files)
	require.NoError(t, err)

	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{
			storage: newMemory().view(t).config(),
			keys: map[string]string{
				"default": `{"source":"storage","algorithm":"ES256"}`,
				"files":   `{"source":"file","files":` + string(listed) + `}`,
				"rsa":     `{"source":"storage"}`,
			},
			jwks: `"keys":["files","rsa","default"]`,
		})
		synctest.Wait()

		var document map[string][]map[string]any
		require.NoError(t, json.Unmarshal([]byte(r.document()), &document))
		require.Len(t, document, 1, "keys and nothing else")
		require.Len(t, document["keys"], 8)
		for _, key := range document["keys"] {
			for member, value := range key {
				require.Contains(t, []string{"kty", "alg", "use", "kid", "n", "e", "crv", "x", "y"}, member,
					"a member that need not be public")
				require.IsType(t, "", value)
				require.NotEmpty(t, value)
			}
			require.Equal(t, "sig", key["use"])
			require.Contains(t, []any{"PS384", "RS256", "ES256", "ES384", "ES512"}, key["alg"],
				"a key is for one algorithm (CVE-2016-10555, CVE-2024-37568)")
			require.Len(t, key["kid"], 43, "the thumbprint, whatever the file calls the key")
		}
		require.Equal(t, "PS384", document["keys"][0]["alg"])
	})
}

func TestOneJWKSPublishesSeveralSets(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		storage := newMemory().view(t).config()
		sets := map[string]string{
			"default": `{"source":"storage","algorithm":"ES256"}`,
			"inner":   `{"source":"storage","algorithm":"ES384"}`,
			"other":   `{"source":"storage","algorithm":"ES512"}`,
		}
		both := startReplica(t, replicaConfig{storage: storage, keys: sets, jwks: `"keys":["inner","default"]`})
		inner := startReplica(t, replicaConfig{storage: storage, keys: sets, jwks: `"keys":["inner"]`})
		alone := startReplica(t, replicaConfig{storage: storage, keys: sets})
		synctest.Wait()

		require.Len(t, both.kids(), 4)
		require.Equal(t, slices.Concat(inner.kids(), alone.kids()), both.kids(), "in the order of the configuration")
		both.signs()
	})
}

func TestAKeyOfTwoSetsIsPublishedOnce(t *testing.T) {
	key := keyFile(t, ecKey(t, elliptic.P256()))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{
			storage: newMemory().view(t).config(),
			keys: map[string]string{
				"one": `{"source":"file","files":["` + key + `"]}`,
				"two": `{"source":"file","files":["` + key + `"]}`,
			},
			jwks: `"keys":["one","two"]`,
		})
		synctest.Wait()
		require.Len(t, r.kids(), 1)
	})
}

func TestAnotherPathAndQueriesThatCachesAdd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, replicaConfig{storage: newMemory().view(t).config(), jwks: `"path":"/keys"`})
		synctest.Wait()
		for path, status := range map[string]int{
			"/keys": 200, "/keys?v=1": 200, jwksPath: http.StatusTeapot,
			"/": http.StatusTeapot, "/keys/": http.StatusTeapot,
		} {
			rec, err := r.ask(http.MethodGet, path)
			require.NoError(t, err)
			require.Equal(t, status, rec.Code, path)
		}
	})
}

func TestWithoutKeysThereIsNoJWKSRatherThanAnEmptyOne(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		bad := newMemory().view(t)
		bad.set(func(v *view) { v.failure = errors.New("storage out of order") })

		// One set that has keys is not enough: without the other's, the document would look as
		// if those were gone.
		file := keyFile(t, ecKey(t, elliptic.P256()))
		r := startReplica(t, replicaConfig{
			storage: bad.config(),
			keys:    map[string]string{"pinned": `{"source":"file","files":["` + file + `"]}`},
			jwks:    `"keys":["pinned","default"]`,
		})
		synctest.Wait()
		header := r.unavailable()
		require.Equal(t, "no-store", header.Get("Cache-Control"))
		require.Equal(t, "5", header.Get("Retry-After"))
		require.Empty(t, header.Get("ETag"))
		require.Empty(t, header.Get("Expires"))

		bad.set(func(v *view) { v.failure = nil })
		time.Sleep(time.Minute)
		require.Len(t, r.kids(), 3, "it recovers by itself")
	})
}

func TestTheFirstKeysAreWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow := newMemory().view(t)
		slow.set(func(v *view) { v.hang = make(chan struct{}) })
		r := startReplica(t, replicaConfig{storage: slow.config()})

		go func() {
			time.Sleep(2 * time.Second)
			slow.set(func(v *view) { close(v.hang) })
		}()
		// A node that starts at the same time as the proxy gives up for good without a JWKS, but
		// only after five seconds.
		require.Len(t, r.kids(), 2)
		require.NotEmpty(t, r.signs())
	})
}

func TestTheJWKSDoesNotKeepANodeWaitingForLong(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow := newMemory().view(t)
		hang := make(chan struct{})
		slow.set(func(v *view) { v.hang = hang })
		r := startReplica(t, replicaConfig{storage: slow.config()})
		asked := time.Now()
		r.unavailable()
		require.Less(t, time.Since(asked), 5*time.Second, "Elasticsearch's own limit")
		close(hang)
	})
}

func TestTheJWKSIsReadWhileKeysChange(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		r := startReplica(t, replicaConfig{
			storage: shared.view(t).config(),
			keys:    map[string]string{"default": `{"source":"storage","algorithm":"ES256","rotate_every":"1h"}`},
		})
		synctest.Wait()
		var readers sync.WaitGroup
		for i := range 8 {
			readers.Go(func() {
				for range 200 {
					time.Sleep(time.Duration(1+i) * 20 * time.Second)
					rec, err := r.ask(http.MethodGet, jwksPath)
					if err != nil || rec.Code != http.StatusOK {
						t.Errorf("%v %d", err, rec.Code)
						return
					}
					var set jose.JSONWebKeySet
					if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || len(set.Keys) < 2 {
						t.Errorf("%v %s", err, rec.Body)
						return
					}
				}
			})
		}
		readers.Wait()
	})
}

func TestAMethodThatIsNotAllowedIsAnErrorForHandleErrors(t *testing.T) {
	r := newReplica(t, replicaConfig{})
	_, err := r.ask(http.MethodPost, jwksPath)
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusMethodNotAllowed, handlerErr.StatusCode)
}
