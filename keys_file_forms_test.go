package esjwt_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// spki is a public key as `openssl pkey -pubout` writes it.
func spki(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// utf16LE is a text as Windows' own tools save it.
func utf16LE(text []byte) []byte {
	content := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(string(text))) {
		content = binary.LittleEndian.AppendUint16(content, unit)
	}
	return content
}

// pkcs8Of is a PKCS#8 of any kind of key.
func pkcs8Of(t testing.TB, kind asn1.ObjectIdentifier, parameters any) []byte {
	t.Helper()
	var raw asn1.RawValue
	if parameters != nil {
		encoded, err := asn1.Marshal(parameters)
		require.NoError(t, err)
		raw.FullBytes = encoded
	}
	der, err := asn1.Marshal(struct {
		Version int
		Kind    pkix.AlgorithmIdentifier
		Key     []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: kind, Parameters: raw}, []byte("correct horse battery staple")})
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// explicitSEC1 is a SEC 1 key whose curve is written out (RFC 5480 section 2.1.1), as old tools of Java
// and `openssl -param_enc explicit` make it.
func explicitSEC1(t testing.TB) []byte {
	t.Helper()
	parameters, err := asn1.Marshal(explicitCurve())
	require.NoError(t, err)
	der, err := asn1.Marshal(struct {
		Version    int
		Key        []byte
		Parameters asn1.RawValue
	}{
		1, []byte("correct horse battery staple"),
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: parameters},
	})
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func explicitCurve() any {
	return struct {
		Version int
		Field   struct {
			Type  asn1.ObjectIdentifier
			Prime int
		}
	}{Version: 1, Field: struct {
		Type  asn1.ObjectIdentifier
		Prime int
	}{asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}, 7}}
}

// withMembers is a JWK with more members.
func withMembers(t testing.TB, jwk []byte, members string) []byte {
	t.Helper()
	content := []byte(strings.TrimSuffix(string(jwk), "}") + "," + members + "}")
	require.True(t, json.Valid(content))
	return content
}

// edited is a text with something else in one place.
func edited(content []byte, from, to string) []byte {
	return []byte(strings.Replace(string(content), from, to, 1))
}

// withoutZero is the JWK of a key on P-256 whose x begins with a zero byte, which is left out as some tools do.
func withoutZero(t testing.TB) []byte {
	t.Helper()
	for {
		key := ecKey(t, elliptic.P256())
		point, err := key.PublicKey.Bytes()
		require.NoError(t, err)
		if x := point[1:33]; x[0] == 0 {
			encode := base64.RawURLEncoding.EncodeToString
			return edited(jwk(t, key, ""), `"x":"`+encode(x)+`"`, `"x":"`+encode(x[1:])+`"`)
		}
	}
}

// TestAKeyThatCannotBeUsedIsNamed as what it is, with the command that makes the right one: "damaged"
// sends people looking for another fault.
func TestAKeyThatCannotBeUsedIsNamed(t *testing.T) {
	p256, rs := ecKey(t, elliptic.P256()), rsaKey()
	oidEC := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	for name, c := range map[string]struct {
		content []byte
		says    []string
	}{
		"RSA-PSS": { // openssl genpkey -algorithm RSA-PSS
			pkcs8Of(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, nil),
			[]string{"RSA-PSS", "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "algorithm PS256"},
		},
		"RSA-PSS as PKCS#1": { // openssl rsa -traditional
			pem.EncodeToMemory(&pem.Block{Type: "RSA-PSS PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)}),
			[]string{"RSA-PSS", "openssl genpkey -algorithm RSA"},
		},
		"an explicit curve": {
			pkcs8Of(t, oidEC, explicitCurve()),
			[]string{"explicit EC parameters", "openssl pkey -in <file> -ec_param_enc named_curve -out <new file>"},
		},
		"an explicit curve in SEC 1": {explicitSEC1(t), []string{"explicit EC parameters"}},
		"secp256k1": {
			pkcs8Of(t, oidEC, asn1.ObjectIdentifier{1, 3, 132, 0, 10}),
			[]string{"its curve (1.3.132.0.10)", "use P-256, P-384 or P-521"},
		},
		"a damaged key on P-256": {
			pkcs8Of(t, oidEC, asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}), []string{"its PRIVATE KEY is damaged"},
		},
		"a damaged RSA key": {
			pkcs8Of(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, nil), []string{"its PRIVATE KEY is damaged"},
		},
		"ML-DSA-65": {
			pkcs8Of(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}, nil),
			[]string{"2.16.840.1.101.3.4.3.18", "RSA and ECDSA"},
		},
		"OpenSSH's own form": {
			pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("openssh-key-v1")}),
			[]string{"ssh-keygen -p -m PKCS8"},
		},
		"PEM in UTF-16":   {utf16LE(pkcs8(t, p256)), []string{"it is UTF-16", "save it as UTF-8"}},
		"a JWK in UTF-16": {utf16LE(jwk(t, p256, "")), []string{"it is UTF-16"}},

		// RFC 7517 sections 4.2 to 4.4.
		"a JWK for encryption": {
			withMembers(t, jwk(t, rs, ""), `"use":"enc"`), []string{`its "use" is not "sig"`, "elasticsearch-jwt generate"},
		},
		"a JWK for encryption that signs": {
			withMembers(t, jwk(t, rs, "RS256"), `"use":"enc"`), []string{`its "use" is not "sig"`},
		},
		"a JWK that only decrypts": {
			withMembers(t, jwk(t, rs, ""), `"key_ops":["decrypt","unwrapKey"]`), []string{`do not have "sign"`},
		},
		"a JWK for nothing": {withMembers(t, jwk(t, rs, ""), `"key_ops":[]`), []string{`do not have "sign"`}},
		"a private JWK that only verifies": {
			withMembers(t, jwk(t, rs, ""), `"key_ops":["verify"]`), []string{`do not have "sign"`},
		},
		"a public JWK that only encrypts": {
			jwkSet(jwk(t, p256, ""), withMembers(t, jwk(t, rs.Public(), ""), `"key_ops":["encrypt"]`)),
			[]string{`key 2 of its JWKS`, `do not have "verify"`},
		},
		"a public JWK for encryption": {
			jwkSet(jwk(t, p256, ""), withMembers(t, jwk(t, rs.Public(), ""), `"use":"enc"`)),
			[]string{`key 2 of its JWKS`, `its "use"`},
		},
		"RSA-OAEP-256": {jwk(t, rs, "RSA-OAEP-256"), []string{`its "alg" is one for encryption`}},
		"RSA1_5":       {jwk(t, rs, "RSA1_5"), []string{`its "alg" is one for encryption`}},
		"ECDH-ES":      {jwk(t, p256, "ECDH-ES+A128KW"), []string{`its "alg" is one for encryption`}},

		// RFC 7518 sections 2 and 6.3.2. Tools that write numbers as JSON has them, or the base64 of PEM.
		"a JWK with a number": {
			edited(jwk(t, rs, ""), `"e":"AQAB"`, `"e":65537`), []string{"its JWK has something else than a string for \"e\""},
		},
		"a JWK with padding": {
			edited(jwk(t, rs, ""), `"e":"AQAB"`, `"e":"AQAB=="`), []string{`another encoding of "e" than base64url`},
		},
		"a JWK in base64": {
			edited(jwk(t, rs, ""), `"e":"AQAB"`, `"e":"A+/B"`), []string{`another encoding of "e" than base64url`},
		},
		"a JWK of more than 2 primes": {
			withMembers(t, jwk(t, rs, ""), `"oth":[{"r":"Aw","d":"AQ","t":"AQ"}]`), []string{`more than two primes ("oth")`},
		},
		"a JWK without primes": {edited(jwk(t, rs, ""), `"p":`, `"x-p":`), []string{`has no primes ("p" and "q")`}},
		"a JWK without a zero at the beginning": {
			withoutZero(t), []string{`its JWK has 31 bytes in "x", and a key on P-256 has 32`, "the zeros at the beginning"},
		},
		"an indented PEM": {
			[]byte("  " + strings.ReplaceAll(string(pkcs8(t, p256)), "\n", "\n  ")), []string{"begin without blanks"},
		},
		"a PEM on one line": {[]byte(strings.ReplaceAll(string(pkcs8(t, p256)), "\n", " ")), []string{"end with LF or CRLF"}},

		"an algorithm nobody knows": {jwk(t, p256, "ES255"), []string{`unknown algorithm "ES255"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryReplica(t, fileKeys(t, "", writeFile(t, "the-key-file", c.content)))
			for _, says := range c.says {
				require.ErrorContains(t, err, says)
			}
			require.NotContains(t, err.Error(), "correct horse")
			requireNothingOf(t, c.content, err.Error())
		})
	}
}

// TestKeysAreReadAsPeopleHaveThem: with a byte order mark (openssl/openssl#6281), and with what a JWK
// says of its purpose.
func TestKeysAreReadAsPeopleHaveThem(t *testing.T) {
	p256, rs := ecKey(t, elliptic.P256()), rsaKey()
	marked := func(content []byte) []byte { return append([]byte("\ufeff"), content...) }
	for name, c := range map[string]struct {
		content []byte
		key     crypto.Signer
	}{
		"PEM after a byte order mark":    {marked(pkcs8(t, p256)), p256},
		"PKCS#1 after a byte order mark": {marked(pkcs1(rs)), rs},
		"a JWK after a byte order mark":  {marked(jwk(t, p256, "")), p256},
		"a JWKS after a byte order mark": {marked(jwkSet(jwk(t, p256, ""))), p256},
		"a JWK for signatures":           {withMembers(t, jwk(t, p256, ""), `"use":"sig"`), p256},
		"a JWK that signs and verifies":  {withMembers(t, jwk(t, p256, ""), `"key_ops":["verify","sign"]`), p256},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReplica(t, fileKeys(t, "", writeFile(t, "key", c.content)))
			require.Equal(t, thumbprint(t, c.key), r.signs())
		})
	}
}

// TestAFormerKeyIsPublishedByItsPublicHalf: nobody needs to keep a private key around that signs no
// more. Wherever it stands, it is never the one that signs.
func TestAFormerKeyIsPublishedByItsPublicHalf(t *testing.T) {
	current, former, older := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), rsaKey()
	want := []string{"ES256 " + thumbprint(t, current), "ES384 " + thumbprint(t, former), "RS256 " + thumbprint(t, older)}
	pkcs1Public := pem.EncodeToMemory(&pem.Block{
		Type:  "RSA PUBLIC KEY",
		Bytes: x509.MarshalPKCS1PublicKey(&older.PublicKey),
	})
	private, formers := pkcs8(t, current), slicesConcat(spki(t, former.Public()), pkcs1Public)
	for name, files := range map[string][][]byte{
		"a PEM file":                 {slicesConcat(private, formers)},
		"with the former ones first": {slicesConcat(formers, private)},
		"a file each":                {spki(t, former.Public()), private, spki(t, older.Public())},
		"a JWKS": {jwkSet(
			jwk(t, former.Public(), "ES384"), jwk(t, current, ""),
			withMembers(t, jwk(t, older.Public(), "RS256"), `"key_ops":["verify"],"use":"sig"`),
		)},
		"of each kind": {jwkSet(jwk(t, former.Public(), "")), private, pkcs1Public},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, content := range files {
				names = append(names, writeFile(t, "key", content))
			}
			bubble.Test(t, func(t *testing.T) {
				r := startReplica(t, fileKeys(t, "", names...))
				synctest.Wait()
				for range 4 {
					require.ElementsMatch(t, want, r.kidsAndAlgorithms())
					require.Equal(t, thumbprint(t, current), r.signs())
					time.Sleep(time.Hour)
				}
			})
		})
	}
}

// TestAKeyWithoutItsPrivateHalfSignsNoMore, while Caddy runs; and a set without any private key is
// refused, at the start and later.
func TestAKeyWithoutItsPrivateHalfSignsNoMore(t *testing.T) {
	one, two := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	oneID, twoID := thumbprint(t, one), thumbprint(t, two)
	file := writeFile(t, "keys.pem", slicesConcat(pkcs8(t, one), pkcs8(t, two)))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, fileKeys(t, "", file))
		synctest.Wait()
		require.Equal(t, oneID, r.signs())

		require.NoError(t, os.WriteFile(file, slicesConcat(spki(t, one.Public()), pkcs8(t, two)), 0o600))
		time.Sleep(soon)
		r.signs() // the next token is signed in the background
		synctest.Wait()
		require.Equal(t, twoID, r.signs())
		require.ElementsMatch(t, []string{oneID, twoID}, r.kids())

		require.NoError(t, os.WriteFile(file, slicesConcat(spki(t, one.Public()), spki(t, two.Public())), 0o600))
		time.Sleep(time.Hour)
		require.Equal(t, twoID, r.signs(), "the keys of before go on")
		require.Contains(t, r.logs.String(), "there are public keys alone, and one must sign")
	})
}
