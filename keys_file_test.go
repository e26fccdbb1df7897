package esjwt_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

// rsaKey is one RSA key for all tests that only need some: they are slow to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pkcs1(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func sec1(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func jwk(t testing.TB, key any, alg jose.SignatureAlgorithm) []byte {
	t.Helper()
	content, err := json.Marshal(jose.JSONWebKey{Key: key, Algorithm: string(alg), KeyID: "a name of its own"})
	require.NoError(t, err)
	return content
}

func jwkSet(keys ...[]byte) []byte {
	return slicesJoin(`{"keys":[`, keys, `]}`)
}

func slicesJoin(before string, parts [][]byte, after string) []byte {
	return []byte(before + string(bytes.Join(parts, []byte(","))) + after)
}

// thumbprint is the kid that a key must have (RFC 7638).
func thumbprint(t testing.TB, key crypto.Signer) string {
	t.Helper()
	jwk := jose.JSONWebKey{Key: key.Public()}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(sum)
}

// keyFile writes a key into a file of its own.
func keyFile(t testing.TB, key crypto.Signer) string {
	t.Helper()
	return writeFile(t, "key.pem", pkcs8(t, key))
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file
}

// fileKeys is a replica whose default set is in files.
func fileKeys(t testing.TB, settings string, files ...string) replicaConfig {
	t.Helper()
	listed, err := json.Marshal(files)
	require.NoError(t, err)
	return replicaConfig{
		storage: newMemory().view(t).config(),
		keys:    map[string]string{"default": `{"source":"file","files":` + string(listed) + settings + `}`},
	}
}

// kidsAndAlgorithms are what the JWKS says of its keys.
func (r *replica) kidsAndAlgorithms() []string {
	r.t.Helper()
	var keys []string
	for _, k := range r.published().Keys {
		keys = append(keys, k.Algorithm+" "+k.KeyID)
	}
	return keys
}

func TestPrivateKeysAreReadInEveryUsualForm(t *testing.T) {
	rs := rsaKey()
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	rsID, p256ID, p384ID, p521ID := thumbprint(t, rs), thumbprint(t, p256), thumbprint(t, p384), thumbprint(t, p521)
	parameters := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")

	tests := map[string]struct {
		content  []byte
		settings string
		want     []string
	}{
		"PKCS#1":                 {pkcs1(rs), "", []string{"RS256 " + rsID}},
		"PKCS#8 with an RSA key": {pkcs8(t, rs), "", []string{"RS256 " + rsID}},
		"PKCS#8 with an EC key":  {pkcs8(t, p384), "", []string{"ES384 " + p384ID}},
		"SEC 1":                  {sec1(t, p521), "", []string{"ES512 " + p521ID}},
		"SEC 1 after its parameters": {
			append(bytes.Clone(parameters), sec1(t, p256)...), "", []string{"ES256 " + p256ID},
		},
		"PEM with text around it": {
			slicesJoin("Bag Attributes\n    friendlyName: jwt\n", [][]byte{pkcs8(t, p256)}, "\nthe end\n"), "",
			[]string{"ES256 " + p256ID},
		},
		"PEM from Windows": {
			bytes.ReplaceAll(pkcs8(t, p256), []byte("\n"), []byte("\r\n")), "", []string{"ES256 " + p256ID},
		},
		"several PEM keys": {
			slicesConcat(pkcs8(t, p256), pkcs1(rs), sec1(t, p384)), "",
			[]string{"ES256 " + p256ID, "RS256 " + rsID, "ES384 " + p384ID},
		},
		"a JWK":                         {jwk(t, p256, ""), "", []string{"ES256 " + p256ID}},
		"a JWK that says its algorithm": {jwk(t, rs, jose.PS512), "", []string{"PS512 " + rsID}},
		"a JWKS": {
			jwkSet(jwk(t, rs, jose.RS384), jwk(t, p521, jose.ES512)), "", []string{"RS384 " + rsID, "ES512 " + p521ID},
		},
		"white space around it": {
			slicesJoin("\n\t ", [][]byte{jwk(t, p256, "")}, " \n"), "", []string{"ES256 " + p256ID},
		},
		"the configured algorithm":     {pkcs1(rs), `,"algorithm":"PS256"`, []string{"PS256 " + rsID}},
		"a JWK's algorithm goes first": {jwk(t, rs, jose.RS512), `,"algorithm":"PS256"`, []string{"RS512 " + rsID}},
		"a curve has but one":          {pkcs8(t, p384), `,"algorithm":"PS256"`, []string{"ES384 " + p384ID}},
		"an RSA key after one for its curve": {
			slicesConcat(pkcs8(t, p384), pkcs8(t, rs)), `,"algorithm":"RS512"`, []string{"ES384 " + p384ID, "RS512 " + rsID},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "keys", test.content)
			bubble.Test(t, func(t *testing.T) {
				r := startReplica(t, fileKeys(t, test.settings, file))
				synctest.Wait()
				require.Equal(t, test.want, r.kidsAndAlgorithms())
				require.Equal(t, strings.Fields(test.want[0])[1], r.signs(), "the first key signs")
			})
		})
	}
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestTheFirstKeyOfTheFirstFileSigns(t *testing.T) {
	one, two, three := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	first := writeFile(t, "first.pem", slicesConcat(pkcs8(t, two), pkcs8(t, one)))
	second := writeFile(t, "second.pem", pkcs8(t, three))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, fileKeys(t, "", first, second))
		synctest.Wait()
		require.Equal(t, thumbprint(t, two), r.signs())
		require.ElementsMatch(t, []string{thumbprint(t, one), thumbprint(t, two), thumbprint(t, three)}, r.kids())

		time.Sleep(24 * time.Hour)
		require.Equal(t, thumbprint(t, two), r.signs(), "and goes on to, whatever the clock says")
		require.Len(t, r.kids(), 3)
	})
}

func TestAFileWithoutUsableKeysIsRefusedWithoutShowingThem(t *testing.T) {
	rs, p256 := rsaKey(), ecKey(t, elliptic.P256())
	p224 := ecKey(t, elliptic.P224())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	short := shortRSAKey(t)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: pkcs8(t, p256)})
	legacy := pem.EncodeToMemory(&pem.Block{
		Type:    "RSA PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: pkcs8(t, p256),
	})
	publicDER, err := x509.MarshalPKIXPublicKey(p256.Public())
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newAuthority(t, "a").cert.Raw})
	other := ecKey(t, elliptic.P256())
	mixed := *p256
	mixed.PublicKey = other.PublicKey
	edit := func(content []byte, from, to string) []byte {
		edited := strings.Replace(string(content), from, to, 1)
		require.NotEqual(t, string(content), edited)
		return []byte(edited)
	}

	tests := map[string]struct {
		content  []byte
		settings string
		says     string
	}{
		"an empty file":           {nil, "", "it is empty"},
		"nothing but white space": {[]byte(" \n"), "", "it is empty"},
		"a text": {
			[]byte("correct horse battery staple, nothing more"), "", "it holds no private key: use PEM",
		},
		"a key without its armour": {
			[]byte(strings.Split(string(pkcs8(t, p256)), "\n")[1]), "", "it holds no private key: use PEM",
		},
		"DER":                             {x509.MarshalPKCS1PrivateKey(rs), "", "it holds no private key: use PEM"},
		"a truncated PEM":                 {pkcs1(rs)[:500], "", "damaged"},
		"a key and a truncated one":       {slicesConcat(pkcs8(t, p256), pkcs1(rs)[:500]), "", "damaged"},
		"a truncated key and a whole one": {slicesConcat(pkcs1(rs)[:500], []byte("\n"), pkcs8(t, p256)), "", "damaged"},
		"a PEM with other bytes": {
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("correct horse battery staple")}), "",
			"its PRIVATE KEY is damaged",
		},
		"an RSA key called EC": {
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)}), "",
			"its EC PRIVATE KEY is another kind of key (RSA): write -----BEGIN RSA PRIVATE KEY-----",
		},
		"an encrypted key":                 {encrypted, "", "encrypted: decrypt it with `openssl pkey"},
		"an encrypted key of the old kind": {legacy, "", "encrypted: decrypt it with `openssl pkey"},
		"a public key": {
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}), "",
			"there are public keys alone, and one must sign",
		},
		"a certificate":                 {certificate, "", `it holds a "CERTIFICATE", which is no private key`},
		"a certificate after its key":   {slicesConcat(pkcs8(t, p256), certificate), "", `it holds a "CERTIFICATE"`},
		"an Ed25519 key":                {pkcs8(t, ed), "", "its key is of the kind ed25519: make one of RSA"},
		"a curve that no realm takes":   {pkcs8(t, p224), "", "use P-256, P-384 or P-521"},
		"an RSA key that is too short":  {pkcs1(short), "", "has 1024 bits: Elasticsearch takes no RSA key under 2048"},
		"an algorithm of another kind":  {pkcs1(rs), `,"algorithm":"ES256"`, "an RSA key cannot sign with ES256: use RS256"},
		"half a JSON":                   {jwk(t, p256, "")[:60], "", "it is not whole JSON"},
		"JSON of something else":        {[]byte(`{"hello":"world"}`), "", "is not a valid JWK"},
		"an empty JWKS":                 {[]byte(`{"keys":[]}`), "", "its JWKS is empty"},
		"a public JWK":                  {jwk(t, p256.Public(), ""), "", "there are public keys alone, and one must sign"},
		"a key and its own public half": {jwkSet(jwk(t, p256, ""), jwk(t, p256.Public(), "")), "", "is there twice"},
		"a secret as a JWK":             {jwk(t, []byte("correct horse battery staple"), ""), "", "is a shared secret"},
		"a JWK for another algorithm":   {jwk(t, p256, jose.ES384), "", "signs with ES256, not with ES384"},
		"a JWK for encryption":          {jwk(t, rs, "RSA-OAEP"), "", "its JWK is not for signatures"},
		"a JWK without its modulus":     {edit(jwk(t, rs, ""), `"n":"`, `"m":"`), "", "is not a valid JWK"},
		"a JWK of two keys":             {jwk(t, &mixed, ""), "", "private"},
		"one key twice":                 {slicesConcat(pkcs8(t, p256), sec1(t, p256)), "", "is there twice"},
		"more than a key file can be":   {bytes.Repeat([]byte("# nothing\n"), 200_000), "", "a key file has 1048576 at most"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "the-key-file", test.content)
			_, err := tryReplica(t, fileKeys(t, test.settings, file))
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "the-key-file")
			requireNothingOf(t, test.content, err.Error())
		})
	}

	t.Run("one key in two files", func(t *testing.T) {
		_, err := tryReplica(t, fileKeys(t, "", keyFile(t, p256), keyFile(t, p256)))
		require.ErrorContains(t, err, "is there twice: take it out of one file")
	})
	t.Run("no file", func(t *testing.T) {
		_, err := tryReplica(t, fileKeys(t, "", filepath.Join(t.TempDir(), "the-key-file")))
		require.ErrorContains(t, err, "the-key-file")
		require.ErrorContains(t, err, "name a file that Caddy can read")
	})
	t.Run("a folder", func(t *testing.T) {
		_, err := tryReplica(t, fileKeys(t, "", t.TempDir()))
		require.ErrorContains(t, err, "name a file that Caddy can read")
	})
}

// requireNothingOf checks that a text shows no part of a secret content.
func requireNothingOf(t testing.TB, content []byte, text string) {
	t.Helper()
	const enough = 12
	for i := 0; i+enough <= min(len(content), 4096); i++ {
		part := string(content[i : i+enough])
		if !strings.ContainsAny(part, " -") && strings.Contains(text, part) {
			require.Failf(t, "a part of a key in an error", "%q in %q", part, text)
		}
	}
}

func TestKeyFilesCanBeNamedByAVariable(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	file := keyFile(t, key)
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(file))
	r := startReplica(t, fileKeys(t, "", "{env.CREDENTIALS_DIRECTORY}/key.pem"))
	require.Equal(t, thumbprint(t, key), r.signs())
}

// soon is when a change of a file must have been noticed.
const soon = 40 * time.Second

func TestAChangedKeyFileIsNoticedWithoutAReload(t *testing.T) {
	one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	file := writeFile(t, "key.pem", pkcs8(t, one))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, fileKeys(t, "", file))
		synctest.Wait()
		require.Equal(t, thumbprint(t, one), r.signs())

		require.NoError(t, os.WriteFile(file, pkcs8(t, two), 0o600))
		time.Sleep(soon)
		require.Equal(t, thumbprint(t, two), r.signs(), "at once: the window's own key is not trusted any more")
		require.Equal(t, []string{thumbprint(t, two)}, r.kids())
	})
}

func TestKeyFilesAreRotatedAsTheManualSays(t *testing.T) {
	one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	oneID, twoID := thumbprint(t, one), thumbprint(t, two)
	file := writeFile(t, "keys.pem", pkcs8(t, one))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, fileKeys(t, "", file))
		synctest.Wait()

		// The new key is only published until every cache knows it.
		require.NoError(t, os.WriteFile(file, slicesConcat(pkcs8(t, one), pkcs8(t, two)), 0o600))
		time.Sleep(soon)
		require.Equal(t, oneID, r.signs())
		require.Equal(t, []string{oneID, twoID}, r.kids())

		// Then it signs, and the old one is there for the tokens in use.
		require.NoError(t, os.WriteFile(file, slicesConcat(pkcs8(t, two), pkcs8(t, one)), 0o600))
		time.Sleep(soon)
		r.signs() // ask once, so that the new token is signed in the background
		synctest.Wait()
		require.Equal(t, twoID, r.signs())
		require.Equal(t, []string{twoID, oneID}, r.kids())

		require.NoError(t, os.WriteFile(file, pkcs8(t, two), 0o600))
		time.Sleep(soon)
		require.Equal(t, twoID, r.signs())
		require.Equal(t, []string{twoID}, r.kids())
	})
}

func TestABrokenKeyFileKeepsTheOldKeys(t *testing.T) {
	one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	broken := map[string]func(file string) error{
		"truncated": func(file string) error { return os.WriteFile(file, pkcs8(t, two)[:60], 0o600) },
		"empty":     func(file string) error { return os.WriteFile(file, nil, 0o600) },
		"removed":   os.Remove,
		"no key":    func(file string) error { return os.WriteFile(file, []byte("hello"), 0o600) },
	}
	for name, breakIt := range broken {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "key.pem", pkcs8(t, one))
			bubble.Test(t, func(t *testing.T) {
				r := startReplica(t, fileKeys(t, "", file))
				synctest.Wait()
				before := r.document()

				require.NoError(t, breakIt(file))
				time.Sleep(10 * time.Minute)
				require.Equal(t, thumbprint(t, one), r.signs())
				require.Equal(t, before, r.document())
				require.Contains(t, r.logs.String(), "the signing keys could not be brought up to date; those at hand go on")
				require.Contains(t, r.logs.String(), file)
				requireNothingOf(t, pkcs8(t, two), r.logs.String())

				require.NoError(t, os.WriteFile(file, pkcs8(t, two), 0o600))
				time.Sleep(soon)
				require.Equal(t, thumbprint(t, two), r.signs(), "and it recovers by itself")
			})
		})
	}
}

// TestOtherFilesAreOfNoConfigurationThatRuns: one with other key files, which is loaded and may yet
// fail to start, changes nothing for the one that runs.
func TestOtherFilesAreOfNoConfigurationThatRuns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		one := fileKeys(t, "", writeFile(t, "one.pem", pkcs8(t, ecKey(t, elliptic.P256()))))
		two := fileKeys(t, "", writeFile(t, "two.pem", pkcs8(t, ecKey(t, elliptic.P256()))))
		two.storage = one.storage
		running := startReplica(t, one)
		synctest.Wait()
		kid, document := running.signs(), running.document()

		next := startReplica(t, two)
		synctest.Wait()
		require.NotEqual(t, kid, next.signs())
		require.Equal(t, kid, running.signs())
		require.Equal(t, document, running.document())
	})
}
