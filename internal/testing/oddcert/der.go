package oddcert

import (
	"crypto"
	"crypto/fips140"
	_ "crypto/md5" // for signatures
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // for signatures
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// tlv returns a DER element.
func tlv(tag byte, content ...[]byte) []byte { return pki.Element(tag, content...) }

func sequence(content ...[]byte) []byte { return tlv(0x30, content...) }

// der encodes a Go value.
func der(value any) []byte {
	out, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return out
}

func oid(numbers ...int) []byte { return der(asn1.ObjectIdentifier(numbers)) }

// name returns a name with a common name alone. The tag is that of its string type.
func name(tag byte, value string) []byte {
	return sequence(tlv(0x31, sequence(oid(2, 5, 4, 3), tlv(tag, []byte(value)))))
}

// extension returns the extension id-ce-number.
func extension(number int, isCritical bool, value []byte) []byte {
	if isCritical {
		return critical(oid(2, 5, 29, number), value)
	}
	return sequence(oid(2, 5, 29, number), tlv(4, value))
}

func critical(id, value []byte) []byte { return sequence(id, []byte{1, 1, 0xff}, tlv(4, value)) }

var (
	sha1WithRSA   = sequence(oid(1, 2, 840, 113549, 1, 1, 5), []byte{5, 0})
	md5WithRSA    = sequence(oid(1, 2, 840, 113549, 1, 1, 4), []byte{5, 0})
	sha224WithRSA = sequence(oid(1, 2, 840, 113549, 1, 1, 14), []byte{5, 0})
	sha256WithRSA = sequence(oid(1, 2, 840, 113549, 1, 1, 11), []byte{5, 0})
)

// certificate has the parts of a certificate in DER.
type certificate struct {
	version    []byte
	serial     []byte
	algorithm  []byte
	hash       crypto.Hash
	issuer     []byte
	validity   []byte
	subject    []byte
	key        []byte
	extensions [][]byte
	after      []byte // what follows the certificate
}

var (
	version3  = tlv(0xa0, []byte{2, 1, 2})
	notBefore = tlv(0x17, []byte("200101000000Z"))
	notAfter  = tlv(0x17, []byte("491231235959Z"))
)

func client(p *party, change ...func(*certificate)) []byte {
	c := certificate{
		version: version3, serial: []byte{2, 1, 0x11}, algorithm: sha256WithRSA, hash: crypto.SHA256, issuer: p.name,
		validity: sequence(notBefore, notAfter), subject: name(0x0c, "alice"), key: spki(clientKey),
		extensions: [][]byte{extension(37, false, sequence(clientAuth))},
	}
	return c.signed(p, change)
}

func intermediate(root *party, p *party, change ...func(*certificate)) []byte {
	c := certificate{
		version: version3, serial: []byte{2, 1, 0x12}, algorithm: sha256WithRSA, hash: crypto.SHA256, issuer: root.name,
		validity: sequence(notBefore, notAfter), subject: p.name, key: spki(p.key),
		extensions: [][]byte{isCA, keyCertSign},
	}
	return c.signed(root, change)
}

func (c *certificate) signed(by *party, change []func(*certificate)) []byte {
	for _, f := range change {
		f(c)
	}
	parts := [][]byte{c.version, c.serial, c.algorithm, c.issuer, c.validity, c.subject, c.key}
	if len(c.extensions) > 0 {
		parts = append(parts, tlv(0xa3, sequence(c.extensions...)))
	}
	tbs := sequence(parts...)
	var signature []byte
	var err error
	fips140.WithoutEnforcement(func() {
		h := c.hash.New()
		h.Write(tbs)
		signature, err = rsa.SignPKCS1v15(rand.Reader, by.key, c.hash, h.Sum(nil))
	})
	if err != nil {
		panic(err)
	}
	return append(sequence(tbs, c.algorithm, tlv(3, []byte{0}, signature)), c.after...)
}

// party is an authority.
type party struct {
	name []byte
	key  *rsa.PrivateKey
}

func newParty(cn string) *party { return &party{name(0x0c, cn), newKey()} }

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func spki(key *rsa.PrivateKey) []byte {
	out, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return out
}

var clientKey = newKey()

var (
	clientAuth  = oid(1, 3, 6, 1, 5, 5, 7, 3, 2)
	serverAuth  = oid(1, 3, 6, 1, 5, 5, 7, 3, 1)
	isCA        = extension(19, true, sequence([]byte{1, 1, 0xff}))
	keyCertSign = extension(15, true, []byte{3, 2, 2, 4})
)

func with(extensions ...[]byte) func(*certificate) {
	return func(c *certificate) { c.extensions = append(c.extensions, extensions...) }
}

func only(extensions ...[]byte) func(*certificate) {
	return func(c *certificate) { c.extensions = extensions }
}

func subject(tag byte, value string) func(*certificate) {
	return func(c *certificate) { c.subject = name(tag, value) }
}

func serial(content ...byte) func(*certificate) {
	return func(c *certificate) { c.serial = tlv(2, content) }
}

func signature(algorithm []byte, hash crypto.Hash) func(*certificate) {
	return func(c *certificate) { c.algorithm, c.hash = algorithm, hash }
}

func publicKey(key []byte) func(*certificate) {
	return func(c *certificate) { c.key = key }
}

func until(tag byte, text string) func(*certificate) {
	return func(c *certificate) { c.validity = sequence(notBefore, tlv(tag, []byte(text))) }
}

func altName(tag byte, value string) []byte {
	return extension(17, false, sequence(tlv(tag, []byte(value))))
}
