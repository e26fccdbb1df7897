package esjwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// algorithmCase is an algorithm of RFC 7518 section 3.1 with a key for it.
type algorithmCase struct {
	name   jose.SignatureAlgorithm
	key    any // RSA, ECDSA or []byte
	hash   crypto.Hash
	length int // of a signature, in bytes
}

// allAlgorithms are the twelve that Elasticsearch's allowed_signature_algorithms can name.
func allAlgorithms(t testing.TB) []algorithmCase {
	t.Helper()
	var cases []algorithmCase
	for _, size := range []struct {
		digits      string
		hash        crypto.Hash
		curve       elliptic.Curve
		curveLength int
	}{
		{"256", crypto.SHA256, elliptic.P256(), 64},
		{"384", crypto.SHA384, elliptic.P384(), 96},
		{"512", crypto.SHA512, elliptic.P521(), 132},
	} {
		secret := make([]byte, size.hash.Size())
		_, _ = rand.Read(secret)
		for _, c := range []algorithmCase{
			{"RS", rsaKey(), size.hash, 256},
			{"PS", rsaKey(), size.hash, 256},
			{"ES", ecKey(t, size.curve), size.hash, size.curveLength},
			{"HS", secret, size.hash, size.hash.Size()},
		} {
			c.name += jose.SignatureAlgorithm(size.digits)
			cases = append(cases, c)
		}
	}
	return cases
}

// digest is what the algorithm signs of a token.
func (c algorithmCase) digest(signingInput string) []byte {
	h := c.hash.New()
	_, _ = io.WriteString(h, signingInput)
	return h.Sum(nil)
}

// strictlyVerified checks a signature as Java does: the salt of PS* is as long as the hash, and
// a signature of ES* is R and S, each as long as the curve's order.
func (c algorithmCase) strictlyVerified(signingInput string, signature []byte) bool {
	if len(signature) != c.length {
		return false
	}
	switch key := c.key.(type) {
	case []byte:
		mac := hmac.New(c.hash.New, key)
		_, _ = io.WriteString(mac, signingInput)
		return hmac.Equal(mac.Sum(nil), signature)
	case *ecdsa.PrivateKey:
		half := c.length / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(&key.PublicKey, c.digest(signingInput), r, s)
	case *rsa.PrivateKey:
		if strings.HasPrefix(string(c.name), "PS") {
			exact := &rsa.PSSOptions{SaltLength: c.hash.Size(), Hash: c.hash}
			return rsa.VerifyPSS(&key.PublicKey, c.hash, c.digest(signingInput), signature, exact) == nil
		}
		return rsa.VerifyPKCS1v15(&key.PublicKey, c.hash, c.digest(signingInput), signature) == nil
	}
	return false
}

// public is what verifies the algorithm's signatures.
func (c algorithmCase) public() any {
	if signer, ok := c.key.(crypto.Signer); ok {
		return signer.Public()
	}
	return c.key
}

func TestEveryAlgorithmSignsWhatStrictReadersVerify(t *testing.T) {
	payload := []byte(`{"sub":"alice"}`)
	for _, c := range allAlgorithms(t) {
		t.Run(string(c.name), func(t *testing.T) {
			key, err := keys.NewKey(c.name, c.key)
			require.NoError(t, err)
			require.Equal(t, c.name, key.Algorithm)
			for range 20 { // an R or S with leading zeros must be as long as any other
				compact, err := key.Sign(payload)
				require.NoError(t, err)
				parts := strings.Split(compact, ".")
				require.Len(t, parts, 3)
				signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
				require.NoError(t, err)
				require.True(t, c.strictlyVerified(parts[0]+"."+parts[1], signature))

				jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{c.name})
				require.NoError(t, err)
				verified, err := jws.Verify(c.public())
				require.NoError(t, err)
				require.Equal(t, payload, verified)
			}
		})
	}
}

// The header has what every version of Elasticsearch takes and nothing else.
func TestATokensHeaderIsAlgKidAndTyp(t *testing.T) {
	for _, c := range allAlgorithms(t) {
		t.Run(string(c.name), func(t *testing.T) {
			key, err := keys.NewKey(c.name, c.key)
			require.NoError(t, err)
			compact, err := key.Sign([]byte("{}"))
			require.NoError(t, err)
			encoded, _, _ := strings.Cut(compact, ".")
			raw, err := base64.RawURLEncoding.DecodeString(encoded)
			require.NoError(t, err)
			var header map[string]any
			require.NoError(t, json.Unmarshal(raw, &header))

			want := map[string]any{"alg": string(c.name), "typ": "JWT"}
			if signer, ok := c.key.(crypto.Signer); ok {
				require.Equal(t, thumbprint(t, signer), key.ID, "RFC 7638")
				want["kid"] = key.ID
			} else {
				require.Empty(t, key.ID, "the thumbprint of a secret would let a holder of a token guess it off-line")
			}
			require.Equal(t, want, header)
		})
	}
}

// Replicas make equal tokens, which a cluster's cache is keyed by, but with PS*: its salt is
// random.
func TestOnlyPSSignaturesDiffer(t *testing.T) {
	for _, c := range allAlgorithms(t) {
		t.Run(string(c.name), func(t *testing.T) {
			var tokens []string
			for range 2 { // two replicas
				key, err := keys.NewKey(c.name, c.key)
				require.NoError(t, err)
				for range 2 {
					token, err := key.Sign([]byte(`{"sub":"alice"}`))
					require.NoError(t, err)
					tokens = append(tokens, token)
				}
			}
			if strings.HasPrefix(string(c.name), "PS") {
				require.NotEqual(t, tokens[0], tokens[1])
				return
			}
			require.Equal(t, []string{tokens[0], tokens[0], tokens[0], tokens[0]}, tokens)
		})
	}
}

// TestAKeyIsForOneKindOfAlgorithmAlone: a public key that is taken for a secret lets everybody sign (attack:
// algorithm confusion, CVE-2016-10555 and CVE-2024-37568). The JWKS says which algorithm a key is for.
func TestAKeyIsForOneKindOfAlgorithmAlone(t *testing.T) {
	cases := allAlgorithms(t)
	for _, c := range cases {
		for _, other := range cases {
			key, err := keys.NewKey(other.name, c.key)
			_, isRSA := c.key.(*rsa.PrivateKey)
			_, isSecret := c.key.([]byte)
			switch family := string(other.name[:2]); {
			case c.name == other.name || isRSA && (family == "RS" || family == "PS"):
				require.NoError(t, err)
				require.Equal(t, other.name, key.Algorithm)
			case isSecret && family == "HS": // a long one will do for all
			default:
				require.Error(t, err, "%s with a key for %s", other.name, c.name)
			}
		}
	}
}

func TestKeysThatElasticsearchWouldNotTakeAreRefused(t *testing.T) {
	small := shortRSAKey(t)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		algorithm jose.SignatureAlgorithm
		key       any
		complaint string
	}{
		"a small RSA key":                {jose.RS256, small, "Elasticsearch takes no RSA key under 2048"},
		"an RSA key for ES256":           {jose.ES256, rsaKey(), "use RS256, RS384, RS512, PS256, PS384 or PS512"},
		"an RSA key for HS256":           {jose.HS256, rsaKey(), "use RS256, RS384, RS512, PS256, PS384 or PS512"},
		"a curve that JWS does not name": {jose.ES256, ecKey(t, elliptic.P224()), "use P-256, P-384 or P-521"},
		"another curve than the algorithm's": {
			jose.ES256, ecKey(t, elliptic.P384()), "curve P-384 signs with ES384, not with ES256",
		},
		"an Edwards curve":   {jose.EdDSA, edwards, "no EdDSA"},
		"a public key":       {jose.RS256, &rsaKey().PublicKey, "is not a private key"},
		"a secret for RS256": {jose.RS256, make([]byte, 64), "use HS256, HS384, HS512"},
		"31 bytes for HS256": {jose.HS256, make([]byte, 31), "has 31 bytes, but HS256 needs at least 32"},
		"47 bytes for HS384": {jose.HS384, make([]byte, 47), "has 47 bytes, but HS384 needs at least 48"},
		"63 bytes for HS512": {jose.HS512, make([]byte, 63), "has 63 bytes, but HS512 needs at least 64"},
		"nothing":            {jose.RS256, nil, "is not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keys.NewKey(c.algorithm, c.key)
			require.ErrorContains(t, err, c.complaint)
		})
	}
}

// A device can answer with anything. What is no signature of its key is an error, never a token.
func TestWhatADeviceReturnsIsChecked(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	other := ecKey(t, elliptic.P384())
	for name, sign := range map[string]func(digest []byte) ([]byte, error){
		"nothing":  func([]byte) ([]byte, error) { return nil, nil },
		"no ASN.1": func([]byte) ([]byte, error) { return make([]byte, 64), nil },
		"a signature and more": func(d []byte) ([]byte, error) {
			s,
				err := key.Sign(nil, d, crypto.SHA256)
			return append(s, 0), err
		},
		"one of a longer curve":     func(d []byte) ([]byte, error) { return other.Sign(nil, d, crypto.SHA256) },
		"an error":                  func([]byte) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
		"negative numbers in ASN.1": func([]byte) ([]byte, error) { return []byte{0x30, 6, 2, 1, 0xff, 2, 1, 0xff}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			k, err := keys.NewKey(jose.ES256, device{key.Public(), sign})
			require.NoError(t, err)
			token, err := k.Sign([]byte("{}"))
			require.Error(t, err)
			require.Empty(t, token)
		})
	}
}

// device is a [crypto.Signer] that is no local key.
type device struct {
	public crypto.PublicKey
	sign   func(digest []byte) ([]byte, error)
}

func (d device) Public() crypto.PublicKey { return d.public }

func (d device) Sign(random io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	if random == nil {
		return nil, io.ErrUnexpectedEOF // a device may take it for granted
	}
	return d.sign(digest)
}

// BenchmarkSign is a token's signature with each algorithm beside the bare primitive.
func BenchmarkSign(b *testing.B) {
	payload := []byte(`{"iss":"https://es.example.com","sub":"alice","aud":["https://elasticsearch.example.com:9200"],` +
		`"roles":["analysts","readers","writers"],"iat":1763000000,"nbf":1763000000,"exp":1763000660}`)
	for _, c := range allAlgorithms(b) {
		digest := c.digest("a token")
		b.Run(string(c.name)+"/primitive", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.primitive(digest); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(c.name)+"/token", func(b *testing.B) {
			key, err := keys.NewKey(c.name, c.key)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// primitive signs a digest, or a text of that length, and does nothing else.
func (c algorithmCase) primitive(digest []byte) error {
	var err error
	switch key := c.key.(type) {
	case []byte:
		mac := hmac.New(c.hash.New, key)
		mac.Write(digest)
		mac.Sum(nil)
	case *ecdsa.PrivateKey:
		_, err = key.Sign(nil, digest, c.hash)
	case *rsa.PrivateKey:
		if strings.HasPrefix(string(c.name), "PS") {
			_, err = rsa.SignPSS(rand.Reader, key, c.hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			_, err = rsa.SignPKCS1v15(nil, key, c.hash, digest)
		}
	}
	return err
}

// BenchmarkJWKS is the cost of an answer from memory: of the whole document, and of none since
// the cache has it.
func BenchmarkJWKS(b *testing.B) {
	r := startReplica(b, replicaConfig{keys: map[string]string{"default": `{"source":"storage","algorithm":"RS256"}`}})
	r.signs()
	rec, err := r.ask("GET", jwksPath)
	require.NoError(b, err)
	for name, header := range map[string][]string{
		"document":     nil,
		"not modified": {"If-None-Match", rec.Header().Get("ETag")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ask("GET", jwksPath, header...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// shortRSAKey makes a key that Elasticsearch does not take, nor FIPS 140-3.
func shortRSAKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	var key *rsa.PrivateKey
	var err error
	fips140.WithoutEnforcement(func() { key, err = rsa.GenerateKey(rand.Reader, 1024) })
	require.NoError(t, err)
	return key
}
