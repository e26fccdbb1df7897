package file

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// parseJWKs reads the keys of a JWK or a JWKS.
func parseJWKs(content []byte) ([]parsedKey, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, errors.New("it is not whole JSON")
	}
	raw := []json.RawMessage{content}
	if set.Keys != nil {
		raw = *set.Keys
	}
	if len(raw) == 0 {
		return nil, errors.New("its JWKS is empty")
	}
	keys := make([]parsedKey, len(raw))
	for i, r := range raw {
		var err error
		switch keys[i], err = parseJWK(r); {
		case err != nil && set.Keys == nil:
			return nil, fmt.Errorf("its JWK %w", err)
		case err != nil:
			return nil, fmt.Errorf("key %d of its JWKS %w", i+1, err)
		}
	}
	return keys, nil
}

// parseJWK reads a JWK. The text of its errors begins with a verb: the key's name goes before it.
func parseJWK(raw json.RawMessage) (parsedKey, error) {
	var jwk jose.JSONWebKey
	err := json.Unmarshal(raw, &jwk)
	if _, secret := jwk.Key.([]byte); secret {
		return parsedKey{}, errors.New("is a shared secret: use a private RSA or EC key, or the source secret")
	}
	if why := jwkFault(raw); why != "" {
		return parsedKey{}, errors.New(why)
	}
	if err != nil || !jwk.Valid() {
		if why := shortCoordinate(raw); why != "" {
			return parsedKey{}, errors.New(why)
		}
		return parsedKey{}, errors.New("is not a valid JWK (RFC 7517)")
	}
	key := parsedKey{public: jwk.Key, algorithm: jwk.Algorithm}
	if signer, ok := jwk.Key.(crypto.Signer); ok {
		key.signer, key.public = signer, signer.Public()
	}
	return key, checkJWKPurpose(raw, key.signer != nil)
}

// checkJWKPurpose checks that the use, key_ops and alg of a JWK, where it has them, allow a private key
// to sign and a public key to verify (RFC 7517 sections 4.2 to 4.4).
func checkJWKPurpose(raw json.RawMessage, private bool) error {
	var purpose struct {
		Use        *string   `json:"use"`
		Operations *[]string `json:"key_ops"`
		Algorithm  string    `json:"alg"`
	}
	if err := json.Unmarshal(raw, &purpose); err != nil {
		return errors.New("is not a valid JWK (RFC 7517)")
	}
	operation := "verify"
	if private {
		operation = "sign"
	}
	var says string
	switch {
	case purpose.Use != nil && *purpose.Use != "sig":
		says = `its "use" is not "sig"`
	case purpose.Operations != nil && !slices.Contains(*purpose.Operations, operation):
		says = `its "key_ops" do not have "` + operation + `" in them`
	case strings.HasPrefix(purpose.Algorithm, "RSA-OAEP"), purpose.Algorithm == "RSA1_5",
		strings.HasPrefix(purpose.Algorithm, "ECDH-ES"):
		says = `its "alg" is one for encryption`
	default:
		return nil
	}
	return fmt.Errorf("is not for signatures (%s): "+
		"take it out of the file, and make one that is, for instance with `caddy elasticsearch-jwt generate`", says)
}

// jwkFault says what is wrong with a JWK, for faults that some tools are known to make. It returns ""
// for all others. The library's own error cannot be shown: it may have a part of the key in it.
func jwkFault(raw json.RawMessage) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return ""
	}
	for _, name := range []string{"n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"} {
		member, ok := members[name]
		if !ok {
			continue
		}
		var value string
		if json.Unmarshal(member, &value) != nil {
			return fmt.Sprintf("has something else than a string for %q, "+
				"which is a number in base64url (RFC 7518 section 2)", name)
		}
		if strings.ContainsAny(value, "+/=\r\n ") {
			return fmt.Sprintf("has another encoding of %q than base64url, "+
				"which has - and _ for + and /, and no = at the end (RFC 7515 section 2)", name)
		}
	}
	_, private := members["d"]
	_, prime := members["p"]
	_, more := members["oth"]
	switch isRSA := string(members["kty"]) == `"RSA"`; {
	case isRSA && more: // RFC 7518 section 6.3.2.7: what does not know it must not use the key
		return `has more than two primes ("oth"), and cannot be used: make one with two`
	case isRSA && private && !prime:
		return `has no primes ("p" and "q"), without which a private key cannot be used here (RFC 7518 section 6.3.2)`
	}
	return ""
}

// shortCoordinate says which coordinate of an EC key is shorter than its curve wants, or returns "". Some tools leave the
// zeros at the beginning of a number out, so that one key of 128 or so cannot be read. (Nothing is said of the private
// number: an error must not tell how it begins.)
func shortCoordinate(raw json.RawMessage) string {
	var key struct{ Kty, Crv, X, Y string }
	if json.Unmarshal(raw, &key) != nil || key.Kty != "EC" {
		return ""
	}
	size, known := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[key.Crv]
	if !known {
		return ""
	}
	for _, number := range []struct{ name, value string }{{"x", key.X}, {"y", key.Y}} {
		value, err := base64.RawURLEncoding.DecodeString(number.value)
		if err == nil && len(value) > 0 && len(value) < size {
			return fmt.Sprintf("has %d bytes in %q, and a key on %s has %d: "+
				"the zeros at the beginning of the number are missing (RFC 7518 section 6.2.1.2); write the file anew",
				len(value), number.name, key.Crv, size)
		}
	}
	return ""
}
