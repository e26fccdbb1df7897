package esjwt_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// administered is a scene whose Caddy has an admin endpoint.
type administered struct {
	*scene
	admin string
}

// manySources is the minimal site with a key set of each source, and the admin API.
var manySources = strings.Replace(withKeys(
	"default storage {\n\t\t\talgorithm ES256\n\t\t}",
	"files file {\n\t\t\tkey {{key}}\n\t\t\tkey {{old}}\n\t\t}",
	"hsm kms {\n\t\t\turi softkms:path={{key}}\n\t\t}",
	"shared secret {\n\t\t\tsecret {file.{{secret}}}\n\t\t}",
), "admin off", "admin {{admin}}", 1)

// newAdministered runs a Caddyfile with what manySources names filled in.
func newAdministered(t testing.TB, caddyfile string) *administered {
	t.Helper()
	admin := freeAddress(t)
	a := &administered{newSceneOf(t, caddyfile,
		"{{admin}}", admin,
		"{{key}}", writeFile(t, "key.pem", pkcs1(rsaKey())),
		"{{old}}", writeFile(t, "old.json", jwk(t, ecKey(t, elliptic.P384()), jose.ES384)),
		"{{secret}}", writeFile(t, "secret", []byte(hmacSecret)),
	), admin}
	eventually(t, func() bool {
		return !slices.ContainsFunc(a.sets(), func(set esjwt.SetStatus) bool {
			return len(set.Keys) == 0 &&
				set.Problem == ""
		})
	}, "the keys of every set, or why they are not there")
	return a
}

// request asks the admin endpoint.
func (a *administered) request(method, path, body string) (int, http.Header, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.admin+path, strings.NewReader(body))
	require.NoError(a.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(a.t, err)
	return res.StatusCode, res.Header, readBody(a.t, res)
}

func (a *administered) sets() []esjwt.SetStatus {
	a.t.Helper()
	status, _, body := a.request(http.MethodGet, "/elasticsearch_jwt/keys", "")
	require.Equal(a.t, http.StatusOK, status, body)
	var sets []esjwt.SetStatus
	require.NoError(a.t, json.Unmarshal([]byte(body), &sets))
	return sets
}

func TestTheAdminAPIListsTheKeysOfEverySet(t *testing.T) {
	a := newAdministered(t, manySources)
	byName := map[string]esjwt.SetStatus{}
	for _, set := range a.sets() {
		byName[set.Name] = set
	}
	require.Len(t, byName, 4)

	set := byName["default"]
	require.Equal(t, "storage", set.Source)
	require.True(t, set.Public)
	require.Len(t, set.Keys, 2)
	next, signing := set.Keys[0], set.Keys[1]
	require.Equal(t, "next", next.State)
	require.Equal(t, "signing", signing.State)
	require.Equal(t, "ES256", signing.Algorithm)
	require.Equal(t, signing.Created, signing.SignsFrom)
	require.Equal(t, signing.SignsFrom.Add(720*time.Hour), next.SignsFrom)
	require.Equal(t, next.SignsFrom, set.NextRotation)
	require.Equal(t, next.SignsFrom.Add(time.Hour+10*time.Minute), signing.Retires)
	require.Zero(t, next.Retires, "nobody knows yet")

	set = byName["files"]
	require.Equal(t, "file", set.Source)
	require.Zero(t, set.NextRotation)
	states := map[string]string{}
	for _, k := range set.Keys {
		states[k.Algorithm] = k.State
		require.Zero(t, k.Created, "a file does not say")
		require.Zero(t, k.SignsFrom)
	}
	require.Equal(t, map[string]string{"RS256": "signing", "ES384": "published"}, states)

	set = byName["hsm"]
	require.Equal(t, "kms", set.Source)
	require.Equal(t, []esjwt.KeyStatus{{ID: thumbprint(t, rsaKey()), Algorithm: "RS256", State: "signing"}}, set.Keys)

	set = byName["shared"]
	require.Equal(t, "secret", set.Source)
	require.False(t, set.Public)
	require.Equal(t, []esjwt.KeyStatus{{Algorithm: "HS256", State: "signing"}}, set.Keys)

	status, header, body := a.request(http.MethodGet, "/elasticsearch_jwt/keys/default", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "application/json", header.Get("Content-Type"))
	var one esjwt.SetStatus
	require.NoError(t, json.Unmarshal([]byte(body), &one))
	require.Equal(t, byName["default"], one)
}

func TestTheAdminAPIShowsNothingPrivate(t *testing.T) {
	a := newAdministered(t, manySources)
	for _, path := range []string{
		"", "/default", "/default/jwks", "/files", "/files/jwks", "/hsm", "/hsm/jwks", "/shared",
		"/shared/jwks",
	} {
		_, _, body := a.request(http.MethodGet, "/elasticsearch_jwt/keys"+path, "")
		requireNothingOf(t, []byte(hmacSecret), body)
		require.NotContains(t, body, base64.RawURLEncoding.EncodeToString(rsaKey().D.Bytes())[:40])
		for _, member := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
			require.NotContains(t, body, member)
		}
	}
}

func TestTheAdminAPIPrintsTheJWKSOfASet(t *testing.T) {
	a := newAdministered(t, manySources)
	status, _, body := a.request(http.MethodGet, "/elasticsearch_jwt/keys/default/jwks", "")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, a.get(a.httpClient(), jwksPath).body, body)

	var files jose.JSONWebKeySet
	_, _, body = a.request(http.MethodGet, "/elasticsearch_jwt/keys/files/jwks", "")
	require.NoError(t, json.Unmarshal([]byte(body), &files))
	require.Len(t, files.Keys, 2)

	status, _, body = a.request(http.MethodGet, "/elasticsearch_jwt/keys/shared/jwks", "")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, body, "the key set shared is a shared secret: it has no public key")
}

func TestTheAdminAPIRotates(t *testing.T) {
	a := newAdministered(t, manySources)
	client := a.httpClient(a.clients.client("alice", "analysts"))
	require.Equal(t, http.StatusOK, a.get(client, "/").StatusCode)
	signing := a.token(a.upstream.last(t)).header.KeyID

	status, _, body := a.request(http.MethodPost, "/elasticsearch_jwt/keys/default/rotate", "")
	require.Equal(t, http.StatusOK, status, body)
	var rotation keys.Rotation
	require.NoError(t, json.Unmarshal([]byte(body), &rotation))
	require.NotEqual(t, signing, rotation.Signing)
	require.Greater(t, time.Until(rotation.At), 2*time.Minute, "no cache can know a key that was made just now")
	for _, set := range a.sets() {
		if set.Name == "default" {
			require.Equal(t, rotation.At, set.NextRotation.In(rotation.At.Location()))
		}
	}

	for _, set := range []string{"files", "hsm", "shared"} {
		status, _, body = a.request(http.MethodPost, "/elasticsearch_jwt/keys/"+set+"/rotate", "")
		require.Equal(t, http.StatusConflict, status)
		require.Contains(t, body,
			"its keys are not Caddy's to make: change the file, the secret or the key in the KMS instead")
	}
}

func TestTheAdminAPIRevokes(t *testing.T) {
	a := newAdministered(t, manySources)
	client := a.httpClient(a.clients.client("alice", "analysts"))
	require.Equal(t, http.StatusOK, a.get(client, "/").StatusCode)
	old := a.token(a.upstream.last(t)).header.KeyID

	status, _, body := a.request(http.MethodPost, "/elasticsearch_jwt/keys/default/revoke", `{"kid":"`+old+`","now":true}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, http.StatusOK, a.get(client, "/").StatusCode)
	require.NotEqual(t, old, a.token(a.upstream.last(t)).header.KeyID)
	for _, key := range a.jwks().Keys {
		require.NotEqual(t, old, key.KeyID)
	}
}

func TestTheAdminAPIRefusesWhatItDoesNotKnow(t *testing.T) {
	a := newAdministered(t, manySources)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		complaint          string
	}{
		"another set": {
			http.MethodGet, "/other", "", http.StatusNotFound,
			`there is no key set \"other\": configure it in the global option`,
		},
		"another path": {
			http.MethodGet, "/default/other", "", http.StatusNotFound,
			"there is nothing at /elasticsearch_jwt/keys/default/other",
		},
		"a deeper path":    {http.MethodGet, "/default/jwks/x", "", http.StatusNotFound, "there is nothing at"},
		"the list is read": {http.MethodPost, "", "", http.StatusMethodNotAllowed, "use GET here, not POST"},
		"a set is read": {
			http.MethodDelete, "/default", "", http.StatusMethodNotAllowed, "use GET here, not DELETE",
		},
		"a JWKS is read": {
			http.MethodPut, "/default/jwks", "", http.StatusMethodNotAllowed, "use GET here, not PUT",
		},
		"a rotation is asked for": {
			http.MethodGet, "/default/rotate", "", http.StatusMethodNotAllowed, "use POST here, not GET",
		},
		"a revocation is asked for": {
			http.MethodGet, "/default/revoke", "", http.StatusMethodNotAllowed, "use POST here, not GET",
		},
		"a revocation of nothing": {http.MethodPost, "/default/revoke", "{}", http.StatusBadRequest, "write {"},
		"a revocation of no key": {
			http.MethodPost, "/default/revoke", `{"kid":"x"}`, http.StatusConflict,
			"nothing was changed: the set default has no key",
		},
		"a revocation that is a lot": {
			http.MethodPost, "/default/revoke", `{"kid":"` + strings.Repeat("x", 1<<17) + `"}`, http.StatusBadRequest, "write {",
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := a.request(c.method, "/elasticsearch_jwt/keys"+c.path, c.body)
			require.Equal(t, c.status, status)
			require.Contains(t, body, c.complaint)
			if status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, header.Get("Allow"))
			}
		})
	}
}

// TestTheAdminAPIIsOfTheConfigurationThatRuns: after a reload it shows the new sets.
func TestTheAdminAPIIsOfTheConfigurationThatRuns(t *testing.T) {
	a := newAdministered(t, manySources)
	before := a.sets()
	a.load(minimal, a.replacements("{{settings}}", "", "admin off", "admin "+a.admin)...)
	after := a.sets()
	require.Len(t, after, 1)
	require.Equal(t, "default", after[0].Name, "the set that nobody configured")
	require.NotEmpty(t, before[0].Keys)

	a.load("{\nadmin "+a.admin+"\n}\n{{site}} {\ntls {{tls}}\nrespond hello\n}\n", a.replacements()...)
	status, _, body := a.request(http.MethodGet, "/elasticsearch_jwt/keys", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "the running configuration has no elasticsearch_jwt in it")
}

// startHook is an app that has a test do something while a configuration starts.
type startHook struct{}

var onStart func() error

func init() { caddy.RegisterModule(startHook{}) }

func (startHook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "test_start", New: func() caddy.Module { return new(startHook) }}
}
func (startHook) Start() error { return onStart() }
func (startHook) Stop() error  { return nil }

// TestTheAdminAPIIsOfNoConfigurationThatDoesNotRun: while a configuration starts, and after it has failed to,
// the one before runs.
func TestTheAdminAPIIsOfNoConfigurationThatDoesNotRun(t *testing.T) {
	info, err := caddy.GetModule("admin.api.elasticsearch_jwt")
	require.NoError(t, err)
	list := info.New().(caddy.AdminRouter).Routes()[0].Handler
	sets := func() (names []string) { // asked directly: Caddy replaces its admin endpoint with each configuration
		t.Helper()
		answer := httptest.NewRecorder()
		err := list.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/elasticsearch_jwt/keys", nil))
		if refusal, ok := errors.AsType[caddy.APIError](err); ok {
			require.Equal(t, http.StatusNotFound, refusal.HTTPStatus)
			return nil
		}
		require.NoError(t, err)
		var sets []esjwt.SetStatus
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &sets))
		for _, set := range sets {
			names = append(names, set.Name)
		}
		return names
	}
	load := func(set string) error {
		t.Helper()
		config, err := json.Marshal(map[string]any{
			"admin":   map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
			"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "FATAL"}}},
			"storage": map[string]any{"module": "file_system", "root": folderOfCaddy(t)},
			"apps": map[string]any{
				"elasticsearch_jwt": map[string]any{"keys": map[string]any{set: map[string]any{"source": "storage"}}},
				"test_start":        map[string]any{},
			},
		})
		require.NoError(t, err)
		return caddy.Load(config, true)
	}
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })

	running := []string(nil) // before the first configuration
	asked := func(err error) func() error {
		return func() error {
			require.Equal(t, running, sets(), "while another configuration starts")
			return err
		}
	}
	for _, set := range []string{"first", "second"} {
		for range 10 { // the apps start in any order
			onStart = asked(errors.New("this app does not start"))
			require.ErrorContains(t, load("failing"), "this app does not start")
			require.Equal(t, running, sets(), "after another configuration has failed to start")
		}
		onStart = asked(nil)
		require.NoError(t, load(set))
		running = []string{set}
		require.Equal(t, running, sets())
	}
	require.NoError(t, caddy.Stop())
	require.Nil(t, sets())
}

func TestTheAdminAPISaysWhatIsWrong(t *testing.T) {
	a := newAdministered(t, strings.NewReplacer("{{settings}}", "",
		"admin off", "admin {{admin}}\nelasticsearch_jwt {\nkeys lost kms {\nuri softkms:path=/no/such/key.pem\n}\n}",
	).Replace(minimal))
	for _, set := range a.sets() {
		if set.Name == "lost" {
			require.Contains(t, set.Problem, "/no/such/key.pem")
			require.Empty(t, set.Keys)
			require.NotNil(t, set.Keys, "an empty list in JSON, not null")
		} else {
			require.Empty(t, set.Problem)
		}
	}
}
