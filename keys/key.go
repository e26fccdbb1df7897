package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Algorithms that a key can sign with (RFC 7518 section 3.1), which are those that
// Elasticsearch's allowed_signature_algorithms can name.
var (
	AsymmetricAlgorithms = []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512,
		jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512,
	}
	SymmetricAlgorithms = []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
)

// MinRSABits is the size of the smallest RSA key that Elasticsearch takes. It passes over a smaller one
// in a JWKS.
const MinRSABits = 2048

// Key is a signing key: a private half that signs, and a public half that the JWKS shows. A Key never
// changes. Make one with [NewKey] or [NewPublicKey].
type Key struct {
	// ID is the kid: the key's thumbprint (RFC 7638). That of an HMAC key is empty, because its
	// thumbprint would let whoever holds a token test guesses of the secret.
	ID string

	// Algorithm is the alg of the tokens that it signs.
	Algorithm jose.SignatureAlgorithm

	// Public is the public half, as the JWKS shows it; nil for an HMAC key, which no JWKS shows.
	Public *jose.JSONWebKey

	secret [sha256.Size]byte // the hash of an HMAC key's secret, to compare keys; it is never shown
	jws    jose.Signer       // nil for a public key
}

// NewKey makes a key that signs with an algorithm. The private key is a [crypto.Signer] with an RSA or
// ECDSA public key, in memory or in an HSM, or a []byte for HMAC. It is an error if the key cannot sign
// with the algorithm, or if Elasticsearch would not take it.
func NewKey(alg jose.SignatureAlgorithm, private any) (*Key, error) {
	switch k := private.(type) {
	case []byte:
		return newHMACKey(alg, k)
	case crypto.Signer:
		return newAsymmetricKey(alg, k)
	default:
		return nil, fmt.Errorf("a %T is not a private key: use RSA, ECDSA (P-256, P-384, P-521) or a secret", private)
	}
}

func newHMACKey(alg jose.SignatureAlgorithm, secret []byte) (*Key, error) {
	size, ok := map[jose.SignatureAlgorithm]int{jose.HS256: 32, jose.HS384: 48, jose.HS512: 64}[alg]
	if !ok {
		return nil, fmt.Errorf("a shared secret cannot sign with %s: use %s", alg, list(SymmetricAlgorithms))
	}
	// Elasticsearch's own minimum (RFC 7518 section 3.2): the size of the hash.
	if len(secret) < size {
		return nil, fmt.Errorf("the secret has %d bytes, but %s needs at least %d: "+
			"make a longer one, for instance with `openssl rand -hex 64`", len(secret), alg, size)
	}
	jws, err := jose.NewSigner(
		jose.SigningKey{Algorithm: alg, Key: slices.Clone(secret)},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("%s key: %w", alg, err)
	}
	return &Key{Algorithm: alg, secret: sha256.Sum256(secret), jws: jws}, nil
}

func newAsymmetricKey(alg jose.SignatureAlgorithm, signer crypto.Signer) (*Key, error) {
	key, err := NewPublicKey(alg, signer.Public())
	if err != nil {
		return nil, err
	}
	key.jws, err = jose.NewSigner(
		jose.SigningKey{Algorithm: alg, Key: &opaqueSigner{key: signer, public: key.Public}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("%s key: %w", alg, err)
	}
	return key, nil
}

// NewPublicKey makes a key without a private half: the JWKS shows it, so that clusters can verify what was
// signed before or elsewhere, and it cannot sign. The errors are those of [NewKey].
func NewPublicKey(alg jose.SignatureAlgorithm, publicKey crypto.PublicKey) (*Key, error) {
	if err := checkPublicKey(alg, publicKey); err != nil {
		return nil, err
	}
	public := &jose.JSONWebKey{Key: publicKey, Algorithm: string(alg), Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("thumbprint of the key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return &Key{ID: public.KeyID, Algorithm: alg, Public: public}, nil
}

// checkPublicKey checks that a public key can be used with an algorithm.
func checkPublicKey(alg jose.SignatureAlgorithm, public crypto.PublicKey) error {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if !strings.HasPrefix(string(alg), "RS") && !strings.HasPrefix(string(alg), "PS") {
			return fmt.Errorf("an RSA key cannot sign with %s: use RS256, RS384, RS512, PS256, PS384 or PS512", alg)
		}
		if pub.N.BitLen() < MinRSABits {
			return fmt.Errorf("the RSA key has %d bits: Elasticsearch takes no RSA key under %d", pub.N.BitLen(), MinRSABits)
		}
	case *ecdsa.PublicKey:
		want := curveAlgorithm(pub.Curve)
		if want == "" {
			return fmt.Errorf("curve %s: use P-256, P-384 or P-521", pub.Curve.Params().Name)
		}
		if alg != want {
			return fmt.Errorf("a key on curve %s signs with %s, not with %s", pub.Curve.Params().Name, want, alg)
		}
	default:
		kind := strings.TrimPrefix(strings.TrimSuffix(fmt.Sprintf("%T", public), ".PublicKey"), "*")
		return fmt.Errorf("its key is of the kind %s: "+
			"make one of RSA or on P-256, P-384 or P-521, since Elasticsearch takes no other (no EdDSA)", kind)
	}
	return nil
}

// DefaultAlgorithm is the algorithm of a key where none is configured: that of its curve (RFC 7518
// section 3.4) for an ECDSA key, else RS256.
func DefaultAlgorithm(public crypto.PublicKey) jose.SignatureAlgorithm {
	if pub, ok := public.(*ecdsa.PublicKey); ok {
		return curveAlgorithm(pub.Curve)
	}
	return jose.RS256
}

func curveAlgorithm(curve elliptic.Curve) jose.SignatureAlgorithm {
	switch curve {
	case elliptic.P256():
		return jose.ES256
	case elliptic.P384():
		return jose.ES384
	case elliptic.P521():
		return jose.ES512
	default:
		return ""
	}
}

func coordinateSize(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }

// Is reports whether two keys are the same key with the same algorithm. They may be two copies of it, and
// one of them without its private half.
func (k *Key) Is(other *Key) bool {
	return k.ID == other.ID && k.Algorithm == other.Algorithm && k.secret == other.secret
}

// Identity is a string that is equal for two keys if, and only if, [Key.Is] is true of them. Show it to
// nobody: that of an HMAC key has a hash of the secret in it.
func (k *Key) Identity() string { return string(k.Algorithm) + k.ID + string(k.secret[:]) }

// CanSign reports whether the key has a private half.
func (k *Key) CanSign() bool { return k.jws != nil }

// Sign returns the compact JWS (RFC 7515) of a payload. The header is alg, kid and typ: JWT.
func (k *Key) Sign(payload []byte) (string, error) {
	if k.jws == nil {
		return "", fmt.Errorf("the key %s has no private half: it cannot sign", k.ID)
	}
	jws, err := k.jws.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing with the %s key %s: %w", k.Algorithm, k.ID, err)
	}
	return jws.CompactSerialize()
}

// Check returns an error unless the private half of the key belongs to its public half. It signs something
// and verifies the signature. A shared secret has no halves, which is an error too.
func (k *Key) Check() error {
	if k.Public == nil {
		return fmt.Errorf("the %s key has no public half to verify with", k.Algorithm)
	}
	compact, err := k.Sign([]byte("{}"))
	if err != nil {
		return err
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{k.Algorithm})
	if err != nil {
		return fmt.Errorf("reading a signature of the key %s: %w", k.ID, err)
	}
	if _, err := jws.Verify(k.Public.Key); err != nil {
		return fmt.Errorf("the private key of %s does not belong to its public key: %w", k.ID, err)
	}
	return nil
}

// opaqueSigner lets go-jose sign with any [crypto.Signer]. go-jose's own cryptosigner will not do: it
// always passes a source of randomness, so that no two replicas would make the same ECDSA token, and
// signs PS* with the longest salt, which Java refuses.
type opaqueSigner struct {
	key    crypto.Signer
	public *jose.JSONWebKey
}

func (s *opaqueSigner) Public() *jose.JSONWebKey { return s.public }

func (s *opaqueSigner) Algs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.public.Algorithm)}
}

func (s *opaqueSigner) SignPayload(payload []byte, alg jose.SignatureAlgorithm) ([]byte, error) {
	hash := algorithmHash(alg)
	h := hash.New()
	h.Write(payload)
	digest := h.Sum(nil)

	switch alg[:2] {
	case "PS":
		// RFC 7518 section 3.5: the salt is as long as the hash.
		return s.key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	case "ES":
		return s.signECDSA(digest, hash)
	default:
		return s.key.Sign(rand.Reader, digest, hash)
	}
}

// signECDSA signs and turns the ASN.1 signature into JWS's fixed-width R || S
// (RFC 7518 section 3.4).
func (s *opaqueSigner) signECDSA(digest []byte, hash crypto.Hash) ([]byte, error) {
	random := rand.Reader
	if _, local := s.key.(*ecdsa.PrivateKey); local {
		random = nil // deterministic (RFC 6979), so that every replica makes the same token
	}
	der, err := s.key.Sign(random, digest, hash)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 {
		return nil, errors.New("the key returned a malformed ECDSA signature")
	}
	size := coordinateSize(s.public.Key.(*ecdsa.PublicKey).Curve)
	if sig.R.Sign() < 0 || sig.S.Sign() < 0 || sig.R.BitLen() > 8*size || sig.S.BitLen() > 8*size {
		return nil, errors.New("the key returned an ECDSA signature of another curve")
	}
	out := make([]byte, 2*size)
	sig.R.FillBytes(out[:size])
	sig.S.FillBytes(out[size:])
	return out, nil
}

func algorithmHash(alg jose.SignatureAlgorithm) crypto.Hash {
	switch alg[2:] {
	case "384":
		return crypto.SHA384
	case "512":
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

// ParseAlgorithm returns the algorithm of a name. It is an error if it is none of those that are allowed.
func ParseAlgorithm(name string, allowed []jose.SignatureAlgorithm) (jose.SignatureAlgorithm, error) {
	alg := jose.SignatureAlgorithm(name)
	if !slices.Contains(allowed, alg) {
		hint := ""
		if slices.Contains(SymmetricAlgorithms, alg) {
			hint = "; a shared secret signs with " + name + ", in a key set of its own: `keys <name> secret`"
		}
		return "", fmt.Errorf("unknown algorithm %q: use one of %s%s", name, list(allowed), hint)
	}
	return alg, nil
}

// list joins names for an error message.
func list[T ~string](names []T) string {
	s := make([]string, len(names))
	for i, n := range names {
		s[i] = string(n)
	}
	return strings.Join(s, ", ")
}

// Interface guard
var _ jose.OpaqueSigner = (*opaqueSigner)(nil)
