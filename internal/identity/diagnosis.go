package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// This file tells the operator what is wrong with a certificate, because crypto/x509 names neither the certificate
// that is at fault nor the authorities. Nothing here decides who is let in.

// diagnose says why crypto/x509 found no chain from a certificate, over the intermediates that were
// sent after it, to a pool of authorities (nil: those of the system). It checks no signature.
func diagnose(err error, sent []*x509.Certificate, pool *x509.CertPool, now time.Time) string {
	var faults []string
	cert, who := sent[0], "the client's certificate"
	for at := 0; ; at++ {
		faults = append(faults, faultsOf(cert, who, at > 0, now)...)
		if trusts(pool, cert.RawIssuer) {
			break
		}
		issuer := issuerOf(cert, sent[1:])
		if issuer == nil || at == len(sent) {
			if len(faults) == 0 {
				faults = append(faults, fmt.Sprintf("%s was issued by %s, "+
					"which is neither among the intermediates that were sent nor in the trust_pool, which has %s",
					who, nameOf(cert.RawIssuer), namesOf(pool)))
			}
			break
		}
		cert, who = issuer, "the intermediate "+nameOf(issuer.RawSubject)
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if ok && invalid.Reason == x509.Expired && !slices.ContainsFunc(sent, invalid.Cert.Equal) {
		who := "the authority " + nameOf(invalid.Cert.RawSubject) + " of the trust_pool"
		faults = append(faults, datesOf(invalid.Cert, who, now)...)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && len(faults) == 0 {
		faults = append(faults, fmt.Sprintf("%s names %s of the trust_pool as its issuer, "+
			"but is not signed with that one's key: "+
			"does it have another key now?",
			who, nameOf(cert.RawIssuer)))
	}
	const most = 3
	return strings.Join(faults[:min(len(faults), most)], "; ")
}

// faultsOf says what keeps a certificate from being in the chain of a client.
func faultsOf(cert *x509.Certificate, who string, authority bool, now time.Time) []string {
	faults := datesOf(cert, who, now)
	for _, oid := range cert.UnhandledCriticalExtensions {
		faults = append(faults, who+" has "+unhandled(cert, oid))
	}
	if hash := insecureHash(cert.SignatureAlgorithm); hash != "" {
		faults = append(faults, fmt.Sprintf("%s is signed with %s, which Go does not take: issue it with SHA-256",
			who, hash))
	}
	if !forClients(cert) {
		faults = append(faults, who+" is not for client authentication: "+
			"its extended key usage must include clientAuth, or be left out")
	}
	if authority && (!cert.BasicConstraintsValid || !cert.IsCA) {
		faults = append(faults, who+" is no authority: its basic constraints must say CA:TRUE")
	}
	if authority && cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		faults = append(faults, who+" may not sign certificates: its key usage must include keyCertSign")
	}
	return faults
}

// insecureHash names the hash of a signature that crypto/x509 does not take, or "". The error of crypto/x509
// is that of a signature with another key.
func insecureHash(algorithm x509.SignatureAlgorithm) string {
	switch algorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return "SHA-1"
	case x509.MD5WithRSA:
		return "MD5"
	case x509.MD2WithRSA:
		return "MD2"
	case x509.UnknownSignatureAlgorithm:
		return "an unknown algorithm"
	default:
		return ""
	}
}

// unhandled says what a critical extension is that crypto/x509 cannot enforce. Of a name constraint it knows
// some kinds of names only.
func unhandled(cert *x509.Certificate, oid asn1.ObjectIdentifier) string {
	if oid.Equal(oidNameConstraints) {
		if kinds := uncheckedConstraints(cert); len(kinds) > 0 {
			return fmt.Sprintf("a name constraint of a kind that Go cannot check (%s), and is refused, since a client "+
				"could have a name that it forbids", strings.Join(kinds, ", "))
		}
	}
	return fmt.Sprintf("the critical extension %s, which Go does not know", oid)
}

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// uncheckedConstraints names the kinds of names (RFC 5280 section 4.2.1.6) in an authority's name constraints
// that crypto/x509 does not check.
func uncheckedConstraints(cert *x509.Certificate) []string {
	kinds := map[cbasn1.Tag]string{
		0: "otherName", 3: "x400Address", 4: "directoryName", 5: "ediPartyName", 8: "registeredID",
	}
	var found []string
	for _, extension := range cert.Extensions {
		if !extension.Id.Equal(oidNameConstraints) {
			continue
		}
		value := cryptobyte.String(extension.Value)
		var lists cryptobyte.String
		if !value.ReadASN1(&lists, cbasn1.SEQUENCE) {
			return nil
		}
		for !lists.Empty() { // what is permitted, and what is excluded
			var list cryptobyte.String
			if !lists.ReadAnyASN1(&list, new(cbasn1.Tag)) {
				return nil
			}
			for !list.Empty() {
				var subtree, name cryptobyte.String
				var tag cbasn1.Tag
				if !list.ReadASN1(&subtree, cbasn1.SEQUENCE) || !subtree.ReadAnyASN1(&name, &tag) {
					return nil
				}
				kind, ok := kinds[tag&0x1f]
				if ok && !slices.Contains(found, kind) {
					found = append(found, kind)
				}
			}
		}
	}
	return found
}

// datesOf says that a certificate is not valid now, and when it is.
func datesOf(cert *x509.Certificate, who string, now time.Time) []string {
	switch {
	case now.Before(cert.NotBefore):
		return []string{who + " is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)}
	case now.After(cert.NotAfter):
		return []string{who + " expired at " + cert.NotAfter.UTC().Format(time.RFC3339)}
	default:
		return nil
	}
}

// issuerOf returns the certificate whose subject is the issuer of another one, or nil. If there are several, it prefers
// the one with the key identifier that the other one names.
func issuerOf(cert *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	var issuer *x509.Certificate
	for _, c := range among {
		if c == cert || !bytes.Equal(c.RawSubject, cert.RawIssuer) {
			continue
		}
		if issuer == nil || bytes.Equal(c.SubjectKeyId, cert.AuthorityKeyId) {
			issuer = c
		}
	}
	return issuer
}

// trusts reports whether a pool has an authority of a name.
func trusts(pool *x509.CertPool, name []byte) bool {
	return slices.ContainsFunc(subjectsOf(pool), func(subject []byte) bool { return bytes.Equal(subject, name) })
}

func subjectsOf(pool *x509.CertPool) [][]byte {
	if pool == nil {
		return nil
	}
	return pool.Subjects() //nolint:staticcheck // those of the system, which it leaves out, are too many to name
}

// namesOf returns the names of the first authorities in a pool.
func namesOf(pool *x509.CertPool) string {
	const most = 5
	if pool == nil {
		return "the authorities of the system"
	}
	subjects := subjectsOf(pool)
	if len(subjects) == 0 {
		return "no authority in it: is its file PEM, without a byte order mark?"
	}
	var names []string
	for _, subject := range subjects[:min(len(subjects), most)] {
		names = append(names, nameOf(subject))
	}
	if more := len(subjects) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// nameOf returns a distinguished name for people to read, in quotes and not too long.
func nameOf(raw []byte) string {
	const most = 100
	parsed, err := x500.Parse(raw)
	if err != nil {
		return "a name that cannot be read"
	}
	name := parsed.String()
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return fmt.Sprintf("%q", name)
}

// The sizes of RSA keys that crypto/rsa and crypto/tls take, unless GODEBUG has other ones in rsa1024min
// and tlsmaxrsasize.
const (
	minTLSKey = 1024
	maxTLSKey = 8192
)

// unusableKey says why no client can use a certificate's key in TLS, or returns "".
func unusableKey(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minTLSKey || bits > maxTLSKey {
			return fmt.Sprintf("its RSA key has %d bits, of which TLS in Go takes %d to %d",
				bits, minTLSKey, maxTLSKey)
		}
		return ""
	case ed25519.PublicKey:
		return ""
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return ""
		default:
			return "its key is on the curve " + key.Curve.Params().Name +
				", which TLS 1.3 (RFC 8446 section 4.2.3) does not take"
		}
	default:
		return "its key is " + kindOfKey(cert) + ", which TLS in Go does not take"
	}
}

// unusableIntermediate says which intermediate has a key that is so large that it ends the handshake, or returns "".
func unusableIntermediate(sent []*x509.Certificate) string {
	for _, cert := range sent[1:] {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxTLSKey {
			return fmt.Sprintf("the RSA key of the intermediate %s has %d bits, of which TLS in Go takes %d at most",
				nameOf(cert.RawSubject), key.N.BitLen(), maxTLSKey)
		}
	}
	return ""
}

// The kinds of keys that some people have, and that TLS in Go does not take.
var (
	oidRSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10} // RFC 4055 section 3.1
	oidDSA    = asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}      // RFC 3279 section 2.3.2
	oidEd448  = asn1.ObjectIdentifier{1, 3, 101, 113}              // RFC 8410 section 3
)

// kindOfKey names the algorithm of a key that crypto/x509 does not know.
func kindOfKey(cert *x509.Certificate) string {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return "of an algorithm that cannot be read"
	}
	switch oid := info.Algorithm.Algorithm; {
	case oid.Equal(oidRSAPSS):
		return "for RSA-PSS alone (id-RSASSA-PSS), not plain RSA (rsaEncryption)"
	case oid.Equal(oidDSA):
		return "for DSA"
	case oid.Equal(oidEd448):
		return "for Ed448"
	default:
		return "of the algorithm " + oid.String()
	}
}

// withoutCRLSign says which authority of the chains may not sign revocation lists (RFC 5280 section 4.2.1.3), or
// returns "".
func withoutCRLSign(chains [][]*x509.Certificate) string {
	for _, chain := range chains {
		for _, authority := range chain[min(1, len(chain)):] {
			if authority.KeyUsage != 0 && authority.KeyUsage&x509.KeyUsageCRLSign == 0 {
				return "the authority " + nameOf(authority.RawSubject) + " may not sign revocation lists: " +
					"its key usage must include cRLSign"
			}
		}
	}
	return ""
}
