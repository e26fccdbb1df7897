// Package oddcert makes unusual certificates, some of which Java accepts and Go refuses, or the other way
// round. Tests and the documents use them. Its functions panic on errors.
package oddcert

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"math/big"
)

// Case is a certificate chain without the root, and what Java and Go do with it.
type Case struct {
	What  string // what is unusual; several cases can have the same text
	Java  bool   // whether Java accepts it
	Go    Outcome
	Chain [][]byte
}

// Outcome is what Go does with a certificate.
type Outcome string

// The outcomes in the mode "request", with a trust pool in the handler. In a mode in which the TLS layer
// verifies certificates, the outcome is NoHandshake instead of Unverified.
const (
	Takes       Outcome = "takes"
	Unverified  Outcome = "`unverified`"
	NoHandshake Outcome = "the handshake ends"
)

// Key returns the key of all clients.
func Key() crypto.Signer { return clientKey }

// Cases returns all cases and the certificate of their root.
func Cases() (cases []Case, root []byte) {
	authority, sub := newParty("Root"), newParty("Intermediate")
	add := func(what string, java bool, outcome Outcome, chains ...[][]byte) {
		for _, c := range chains {
			cases = append(cases, Case{what, java, outcome, c})
		}
	}
	one := func(change ...func(*certificate)) [][]byte { return [][]byte{client(authority, change...)} }
	two := func(change ...func(*certificate)) [][]byte {
		return [][]byte{client(sub), intermediate(authority, sub, change...)}
	}
	add("nothing", true, Takes, one(), two())
	names(add, one)
	numbers(add, one, two)
	keys(add, one)
	extensions(add, one)
	encodings(add, one)
	intermediates(add, two)
	add("an issuer that is written in another type of string than in its own certificate", true, Unverified, [][]byte{
		client(sub, func(c *certificate) { c.issuer = name(0x13, "Intermediate") }), intermediate(authority, sub),
	})
	return cases, intermediate(authority, authority)
}

type (
	adder  func(what string, java bool, outcome Outcome, chains ...[][]byte)
	issuer func(change ...func(*certificate)) [][]byte
)

func names(add adder, one issuer) {
	add("a PrintableString with `_`, `@` or the like in a name", true, NoHandshake,
		one(subject(0x13, "alice_b")), one(subject(0x13, "alice@b")))
	add("a PrintableString with `*` or `&`", true, Takes, one(subject(0x13, "a*b")), one(subject(0x13, "a&b")))
	add("a name that is not UTF-8, ASCII or UTF-16, as its type says", true, NoHandshake,
		one(subject(0x0c, "ali\xffce")), one(subject(0x16, "ali\xe9ce")),
		one(subject(0x1e, "\x00a\x00")), one(subject(0x1e, "\xd8\x00")), one(subject(0x12, "alice")))
	add("a UniversalString, VisibleString, GeneralString or no string in a name", true, NoHandshake,
		one(subject(0x1c, "\x00\x00\x00a")), one(subject(0x1a, "alice")), one(subject(0x1b, "alice")),
		one(subject(0x02, "\x05")), one(subject(0x03, "\x00\x05")))
	add("a T61String", true, Takes, one(subject(0x14, "ali\xe9ce")))
}

func numbers(add adder, one, two issuer) {
	add("a serial number below zero, or with a needless zero in front", true, NoHandshake,
		one(serial(0x81)), one(serial(0, 0x11)), two(serial(0x81)))
	add("the serial number 0, or one of 21 bytes", true, Takes, one(serial(0)),
		one(serial(append([]byte{1}, make([]byte, 20)...)...)))
	add("an end with a fraction of a second", true, NoHandshake, one(until(0x18, "20450101000000.5Z")))
	add("an end without seconds, with a zone, or before 2050 as a GeneralizedTime", true, Takes,
		one(until(0x17, "4501010000Z")), one(until(0x17, "450101000000+0100")), one(until(0x18, "20450101000000Z")))
}

func keys(add adder, one issuer) {
	add("a signature with SHA-1 or SHA-224", true, Unverified,
		one(signature(sha1WithRSA, crypto.SHA1)), one(signature(sha224WithRSA, crypto.SHA224)))
	add("a signature with MD5", false, Unverified, one(signature(md5WithRSA, crypto.MD5)))
	add("an RSA key of more than 8192 bits", true, NoHandshake, one(publicKey(longKey())))
	add("a key of the kind RSA-PSS, Ed448 or DSA", true, NoHandshake,
		one(publicKey(pssKey())), one(publicKey(constant(ed448))), one(publicKey(constant(dsa))))
	add("a key on a curve that is written out", false, NoHandshake, one(publicKey(constant(explicit))))
}

func extensions(add adder, one issuer) {
	add("a CRL distribution point whose name is relative to its issuer", true, NoHandshake,
		one(with(extension(31, false,
			distributionPoint(tlv(0xa1, sequence(oid(2, 5, 4, 3), tlv(0x0c, []byte("x")))))))))
	add("an alternative name for mail or DNS that is not ASCII", true, NoHandshake,
		one(with(altName(0x81, "zo\xc3\xab@example.com"))), one(with(altName(0x82, "zo\xc3\xab.example.com"))))
	add("an alternative name with an IP address of neither 4 nor 16 bytes", true, NoHandshake,
		one(with(altName(0x87, "\x01\x02\x03\x04\x05"))), one(with(altName(0x87, "\x01\x02\x03\x04\xff\xff\xff\x00"))))
	add("an alternative name with a URI whose host is none", true, NoHandshake,
		one(with(altName(0x86, "https://my host/"))))
	add("alternative names that are empty, or a DNS name with a blank", true, Takes,
		one(with(extension(17, false, sequence()))), one(with(altName(0x82, "my host"))))
	add("an extension twice", false, NoHandshake, one(with(altName(0x82, "a.b"), altName(0x82, "a.b"))))
	add("an unknown critical extension", false, Unverified,
		one(with(critical(oid(1, 3, 6, 1, 4, 1, 99999, 1), []byte{5, 0}))))
	add("critical CRL distribution points", false, Takes,
		one(with(extension(31, true, distributionPoint(tlv(0xa0, tlv(0x86, []byte("http://a.b/c"))))))))
	add("a key usage without `digitalSignature`", false, Takes, one(with(extension(15, true, []byte{3, 2, 5, 0x20}))))
	add("an extended key usage that is empty", false, Takes, one(only(extension(37, false, sequence()))))
	add("an extended key usage for servers alone", false, Unverified,
		one(only(extension(37, false, sequence(serverAuth)))))
}

func encodings(add adder, one issuer) {
	add("something after its end", true, NoHandshake, one(func(c *certificate) { c.after = []byte{0} }))
	add("a length or a truth value that is not as DER has it", true, NoHandshake,
		one(func(c *certificate) {
			c.subject = append([]byte{0x30, 0x81, byte(len(c.subject) - 2)}, c.subject[2:]...)
		}),
		one(with(sequence(oid(2, 5, 29, 17), []byte{1, 1, 1}, tlv(4, sequence(tlv(0x82, []byte("a.b"))))))))
	add("version 1", true, Takes, one(func(c *certificate) { c.version, c.extensions = nil, nil }))
	add("version 1 with extensions", false, Takes, one(func(c *certificate) { c.version = nil }))
}

func intermediates(add adder, two issuer) {
	add("an intermediate whose extended key usage lacks client authentication", true, Unverified,
		two(with(extension(37, false, sequence(serverAuth)))))
	add("an intermediate with name constraints for directory names", true, Unverified,
		two(with(constraints(tlv(0xa4, name(0x0c, "alice"))))))
	add("an intermediate without basicConstraints or keyCertSign, or of version 1", false, Unverified,
		two(only(keyCertSign)), two(only(isCA, extension(15, true, []byte{3, 2, 1, 2}))),
		two(func(c *certificate) { c.version, c.extensions = nil, nil }))
	add("an intermediate without a key usage", true, Takes, two(only(isCA)))
}

func distributionPoint(what []byte) []byte { return sequence(sequence(tlv(0xa0, what))) }

func constraints(permitted []byte) []byte {
	return extension(30, true, sequence(tlv(0xa0, sequence(permitted))))
}

// longKey returns a public key of 8200 bits. There is no private key for it.
func longKey() []byte {
	n := new(big.Int).SetBit(big.NewInt(1), 8199, 1)
	return rsaKey(oid(1, 2, 840, 113549, 1, 1, 1), der(struct{ N, E *big.Int }{n, big.NewInt(65537)}))
}

// pssKey returns the clients' key, marked as a key for RSA-PSS only.
func pssKey() []byte {
	return rsaKey(oid(1, 2, 840, 113549, 1, 1, 10), x509.MarshalPKCS1PublicKey(&clientKey.PublicKey))
}

func rsaKey(kind, key []byte) []byte {
	return sequence(sequence(kind, []byte{5, 0}), tlv(3, []byte{0}, key))
}

// constant decodes one of the keys from OpenSSL.
func constant(text string) []byte {
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return out
}
