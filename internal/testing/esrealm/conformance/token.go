package conformance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for the algorithms 384 and 512
	"encoding/json"
	"fmt"
	"math/big"
	"time"
)

// Members are the members of a JSON object.
type Members map[string]any

// At is a time relative to now. In JSON, it becomes seconds since 1970.
type At time.Duration

// Absent is the value of a member that is removed.
const Absent = absent(0)

type absent int

// JSON is the JSON text of a value, for those that Go would write in another way.
type JSON string

// Token says how a token differs from a good one.
type Token struct {
	// Realm is the realm of the good token.
	Realm string
	// Header and Claims replace members.
	Header, Claims Members
	// HeaderText and ClaimsText replace the JSON text.
	HeaderText, ClaimsText func(string) string
	// Key is the key that signs, and Alg is the algorithm and the header's alg.
	// Default: those of the realm.
	Key, Alg string
	// Encoded replaces the first two parts before they are signed.
	Encoded func(header, payload string) (string, string)
	// Signature replaces the signature's bytes.
	Signature func([]byte) []byte
	// Signer makes the signature.
	Signer func(signingInput []byte, payload []byte) []byte
	// Compact replaces the finished token.
	Compact func(string) string

	fixed string
}

// Text returns the token in its compact form.
func (t Token) Text(now time.Time) string {
	if t.fixed != "" {
		return t.fixed
	}
	return t.make(now)
}

// Fixed returns a token whose text does not change any more. Without it, a random
// token and one with an ECDSA signature have another text each time.
func (t Token) Fixed(now time.Time) Token {
	t.fixed = t.Text(now)
	return t
}

func (t Token) make(now time.Time) string {
	realm := goodTokens[t.Realm]
	alg, name := realm.alg, realm.key
	if t.Alg != "" {
		alg = t.Alg
	}
	if t.Key != "" {
		name = t.Key
	}
	k := keys()[name]
	header := text(merge(Members{"typ": "JWT", "alg": alg, "kid": k.kid}, t.Header), now, t.HeaderText)
	payload := text(merge(realm.claims, t.Claims), now, t.ClaimsText)
	first, second := b64([]byte(header)), b64([]byte(payload))
	if t.Encoded != nil {
		first, second = t.Encoded(first, second)
	}
	input := []byte(first + "." + second)
	var signature []byte
	if t.Signer != nil {
		signature = t.Signer(input, []byte(payload))
	} else {
		signature = k.sign(alg, input)
	}
	if t.Signature != nil {
		signature = t.Signature(signature)
	}
	compact := first + "." + second + "." + b64(signature)
	if t.Compact != nil {
		compact = t.Compact(compact)
	}
	return compact
}

func merge(base, more Members) Members {
	m := Members{}
	for _, set := range []Members{base, more} {
		for name, v := range set {
			if m[name] = v; v == Absent {
				delete(m, name)
			}
		}
	}
	return m
}

func text(m Members, now time.Time, replace func(string) string) string {
	plain := map[string]any{}
	for name, v := range m {
		switch v := v.(type) {
		case At:
			plain[name] = now.Add(time.Duration(v)).Unix()
		case JSON:
			plain[name] = json.RawMessage(v)
		default:
			plain[name] = v
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		panic(fmt.Sprintf("%v: %v", plain, err))
	}
	s := string(bytes.TrimSpace(b.Bytes()))
	if replace != nil {
		s = replace(s)
	}
	return s
}

func hashOf(alg string) crypto.Hash {
	return map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
}

// sign makes a signature (RFC 7518 section 3).
func (k *key) sign(alg string, input []byte) []byte {
	return k.signPSS(alg, input, rsa.PSSSaltLengthEqualsHash)
}

// signPSS makes a signature. The salt is for PS* alone.
func (k *key) signPSS(alg string, input []byte, salt int) []byte {
	hash := hashOf(alg)
	if k.secret != nil {
		mac := hmac.New(hash.New, k.secret)
		mac.Write(input)
		return mac.Sum(nil)
	}
	// Some signatures here must be refused, and Go refuses to make them in FIPS 140-3 mode.
	var signature []byte
	fips140.WithoutEnforcement(func() { signature = k.signHash(alg, hash, input, salt) })
	return signature
}

func (k *key) signHash(alg string, hash crypto.Hash, input []byte, salt int) []byte {
	digest := hash.New()
	digest.Write(input)
	var options crypto.SignerOpts = hash
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest.Sum(nil))
		if err != nil {
			panic(err)
		}
		return concat(r, s, (private.Params().BitSize+7)/8)
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			options = &rsa.PSSOptions{SaltLength: salt, Hash: hash}
		}
	}
	signature, err := k.private.Sign(rand.Reader, digest.Sum(nil), options)
	if err != nil {
		panic(err)
	}
	return signature
}

// concat returns an ECDSA signature in the form of RFC 7518 section 3.4.
func concat(r, s *big.Int, size int) []byte {
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out
}
