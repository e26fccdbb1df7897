package integration

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/integration/internal/caddy"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// hsmCaddy is a Caddy as docs/keys.md has it built for PKCS#11.
var hsmCaddy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "caddy-hsm-")
	if err != nil {
		return "", err
	}
	closeAtEnd(func() error { return os.RemoveAll(dir) })
	return caddy.BuildWith(context.Background(), dir, "go.step.sm/crypto/kms/pkcs11")
})

// hsm is a token of SoftHSM2.
type hsm struct {
	module, tokens, pinFile string
	env                     string // tells SoftHSM2 where its tokens are
}

const hsmPIN = "394671820545"

func newHSM(t testing.TB) *hsm {
	t.Helper()
	module, err := softHSM()
	requireReal(t, err)
	dir := t.TempDir()
	h := &hsm{
		module:  module,
		tokens:  filepath.Join(dir, "tokens"),
		pinFile: filepath.Join(dir, "pin"),
		env:     "SOFTHSM2_CONF=" + filepath.Join(dir, "softhsm2.conf"),
	}
	require.NoError(t, os.Mkdir(h.tokens, 0o700))
	require.NoError(t, os.WriteFile(h.pinFile, []byte(hsmPIN+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "softhsm2.conf"),
		[]byte("directories.tokendir = "+h.tokens+"\nobjectstore.backend = file\n"), 0o600))
	h.util(t, "--init-token", "--free", "--label", "es", "--so-pin", hsmPIN)
	return h
}

// softHSM finds Debian's SoftHSM2.
func softHSM() (module string, err error) {
	if _, err := exec.LookPath("softhsm2-util"); err == nil {
		for _, pattern := range []string{
			"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so",
			"/usr/lib64/*/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
		} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				return found[0], nil
			}
		}
	}
	return "", &realnode.MissingError{What: "SoftHSM2", How: "apt-get install softhsm2"}
}

func (h *hsm) util(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "softhsm2-util", append(args, "--pin", hsmPIN)...)
	cmd.Env = append(os.Environ(), h.env)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
}

// put puts a key into the token.
func (h *hsm) put(t testing.TB, label, id string, key crypto.Signer) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	h.util(t, "--import", file, "--token", "es", "--label", label, "--id", id)
}

// keys is a key set whose key is in the token.
func (h *hsm) keys(set, algorithm, label string) string {
	return fmt.Sprintf(`keys %s kms {
	algorithm %s
	uri "pkcs11:module-path=%s;token=es;object=%s?pin-source=%s"
}
`, set, algorithm, h.module, label, h.pinFile)
}

// TestKeysInAnHSM: a token that is taken out costs new tokens only, and when it is back nobody has
// to do anything.
func TestKeysInAnHSM(t *testing.T) {
	token := newHSM(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	token.put(t, "jwt", "01", rsaKey)
	token.put(t, "jwt-ec", "02", ecKey)

	all := versions(*elasticsearchVersions)
	proxy := site{port: freePort(t)}
	es := newElasticsearch(t, nodeConfig(all[len(all)-1], keySourceRealm("hsm", 1,
		"allowed_signature_algorithms: [RS256, PS256, ES256]", "pkc_jwkset_path: "+proxy.url("/jwks/hsm"))))
	program, err := hsmCaddy()
	require.NoError(t, err)
	algorithms := map[string]string{"rs": "RS256", "ps": "PS256", "ec": "ES256"}
	server := caddy.Start(t, program, keySourcesCaddyfile(t, proxy.port, es.URL(),
		token.keys("rs", "RS256", "jwt")+token.keys("ps", "PS256", "jwt")+token.keys("ec", "ES256", "jwt-ec"),
		keyRealm{name: "hsm", sets: []string{"rs", "ps", "ec"}, published: true}), token.env)
	require.NoError(t, es.Start(t.Context()))

	who := func(name, set string) answer {
		t.Helper()
		return send(t, proxy.client(clientCA().Client(name, "analysts").TLS), http.MethodGet,
			proxy.url("/"+set+"/_security/_authenticate"), "", nil)
	}
	for set, algorithm := range algorithms {
		require.Equal(t, "alice", who("alice", set).user(t).Username, algorithm)
	}

	out := token.tokens + ".out"
	require.NoError(t, os.Rename(token.tokens, out))
	for set, algorithm := range algorithms {
		require.Equal(t, http.StatusServiceUnavailable, who("bob", set).status, algorithm)
		require.Equal(t, "alice", who("alice", set).user(t).Username, "her token is good for a while")
	}
	jwks := send(t, proxy.client(), http.MethodGet, proxy.url("/jwks/hsm"), "", nil)
	require.Equal(t, http.StatusOK, jwks.status)

	require.NoError(t, os.Rename(out, token.tokens))
	for set, algorithm := range algorithms {
		require.Eventually(t, func() bool { return who("bob", set).status == http.StatusOK }, time.Minute,
			500*time.Millisecond, algorithm)
		require.Equal(t, "bob", who("bob", set).user(t).Username)
	}
	require.Contains(t, server.LogSince(0), `"level":"debug"`)
	require.NotContains(t, server.LogSince(0), hsmPIN)
}
