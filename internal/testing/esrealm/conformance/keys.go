package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sync"
)

// key is a key that signs tokens.
type key struct {
	kid     string
	private crypto.Signer
	secret  []byte
}

// The names of the keys. Not all of them are published; see staticKeys.
const (
	keyRSA         = "rsa"          // published with kid, alg RS256 and use
	keyRSAAnon     = "rsa-anon"     // published without kid, alg and use
	keyRSASmall    = "rsa-small"    // 1024 bits
	keyRSAUnknown  = "rsa-unknown"  // not published
	keyRSANext     = "rsa-next"     // published later, in the scenarios
	keyES256       = "es256"        // published, as are the other two curves
	keyES384       = "es384"        //
	keyES512       = "es512"        //
	keyES256Enc    = "es256-enc"    // use: enc
	keyES256Sign   = "es256-sign"   // key_ops: sign
	keyES256Verify = "es256-verify" // key_ops: verify
	keyES256Other  = "es256-other"  // alg: ES384
	keyHMAC        = "hmac"         // the hmac_key
	keyHMAC256     = "hmac256"      // of the hmac_jwkset, as are the other two
	keyHMAC384     = "hmac384"      //
	keyHMAC512     = "hmac512"      //
	keyHMACUnknown = "hmac-unknown" //
)

// keys returns all keys. It makes them once, because that takes a while.
var keys = sync.OnceValue(func() map[string]*key {
	all := map[string]*key{}
	for name, secret := range map[string]string{
		keyHMAC:        "a symmetric key for tests, with 64 bytes, which is what HS512 wants",
		keyHMAC256:     "0123456789abcdef0123456789abcdef",
		keyHMAC384:     "0123456789abcdef0123456789abcdef0123456789abcdef",
		keyHMAC512:     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		keyHMACUnknown: "another symmetric key, of which no realm has ever heard anything",
	} {
		all[name] = &key{kid: name, secret: []byte(secret)}
	}
	for name, curve := range map[string]elliptic.Curve{
		keyES256: elliptic.P256(), keyES384: elliptic.P384(), keyES512: elliptic.P521(),
		keyES256Enc: elliptic.P256(), keyES256Sign: elliptic.P256(),
		keyES256Verify: elliptic.P256(), keyES256Other: elliptic.P256(),
	} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		all[name] = &key{kid: name, private: private}
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for name, bits := range map[string]int{
		keyRSA: 2048, keyRSAAnon: 2048, keyRSASmall: 1024, keyRSAUnknown: 2048, keyRSANext: 2048,
	} {
		wait.Go(func() {
			var private *rsa.PrivateKey
			var err error
			// The small one has 1024 bits, which FIPS 140-3 does not allow.
			fips140.WithoutEnforcement(func() { private, err = rsa.GenerateKey(rand.Reader, bits) })
			if err != nil {
				panic(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all[name] = &key{kid: name, private: private}
		})
	}
	wait.Wait()
	return all
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk returns a public key or a symmetric key as a JWK with further members. A nil
// value removes a member.
func jwk(name string, more map[string]any) map[string]any {
	k := keys()[name]
	m := map[string]any{"kid": k.kid}
	if k.secret != nil {
		m["kty"], m["k"] = "oct", b64(k.secret)
	} else {
		switch public := k.private.Public().(type) {
		case *rsa.PublicKey:
			m["kty"], m["n"], m["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
		case *ecdsa.PublicKey:
			point, err := public.Bytes()
			if err != nil {
				panic(err)
			}
			size := (len(point) - 1) / 2
			m["kty"], m["crv"] = "EC", public.Params().Name
			m["x"], m["y"] = b64(point[1:1+size]), b64(point[1+size:])
		}
	}
	for name, v := range more {
		if m[name] = v; v == nil {
			delete(m, name)
		} else if text, ok := v.(JSON); ok {
			m[name] = json.RawMessage(text)
		}
	}
	return m
}

// certificate returns a self-signed certificate for a key, in the form of x5c.
func certificate(name string) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	private := keys()[name].private
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// jwks returns the text of a JWK set.
func jwks(keys ...map[string]any) string {
	if keys == nil {
		keys = []map[string]any{}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// staticKeys returns the set of most realms. It has keys of every kind, also some
// that no realm can use.
func staticKeys() string {
	return jwks(
		jwk(keyRSA, map[string]any{"alg": "RS256", "use": "sig"}),
		jwk(keyRSAAnon, map[string]any{"kid": nil}),
		jwk(keyRSASmall, nil),
		jwk(keyES256, map[string]any{"alg": "ES256"}),
		jwk(keyES384, nil),
		jwk(keyES512, nil),
		jwk(keyES256Enc, map[string]any{"use": "enc"}),
		jwk(keyES256Sign, map[string]any{"key_ops": []string{"sign"}}),
		jwk(keyES256Verify, map[string]any{"key_ops": []string{"verify"}}),
		jwk(keyES256Other, map[string]any{"alg": "ES384"}),
		jwk(keyHMAC256, nil),
		map[string]any{
			"kty": "OKP", "crv": "Ed25519", "kid": "okp",
			"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
		},
		map[string]any{"kty": "AKP", "kid": "from-the-future", "pub": "AAAA"},
	)
}
