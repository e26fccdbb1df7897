package esrealm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// token is a bearer token that has the form of a signed JWT (RFC 7519). JWT
// realms ignore all others.
type token struct {
	header       header
	claims       claimsSet
	signingInput []byte
	signature    []byte
	hash         [sha256.Size]byte // of the compact form, the key of the JWT cache
	principal    string            // its name in errors
}

// errHeaderNull is the error for the JOSE header "null". A node does not ignore
// such a token: its authentication fails with an internal error.
var errHeaderNull = errors.New("the JOSE header is null")

// parseToken reads a compact JWS (RFC 7515 section 3.1) with a claims set.
func parseToken(credentials string, lenient bool) (*token, error) {
	parts := strings.Split(strings.TrimFunc(credentials, isJavaSpace), ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	if strings.TrimFunc(parts[2], isJavaSpace) == "" {
		return nil, errors.New("the signature is empty")
	}
	t := &token{
		signature: decodeBase64(parts[2]),
		hash:      sha256.Sum256([]byte(credentials)),
	}
	var err error
	if t.header, err = parseHeader(decodeBase64(parts[0]), lenient); err != nil {
		return nil, fmt.Errorf("JOSE header: %w", err)
	}
	payload := decodeBase64(parts[1])
	if t.claims, err = parseClaims(payload, lenient); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	t.signingInput = []byte(parts[0] + ".")
	if t.header.unencoded {
		t.signingInput = append(t.signingInput, payload...)
	} else {
		t.signingInput = append(t.signingInput, parts[1]...)
	}
	t.principal = t.claims.principal()
	return t, nil
}
