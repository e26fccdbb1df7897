package denylist_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/denylist"
)

// client is a certificate with the serial number 0x00C0FFEE of CN=Users,O=Acme
// for CN=alice,OU=data,O=Acme with an e-mail address.
var client = newCertificate()

func newCertificate() *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	authority := &x509.Certificate{Subject: pkix.Name{Organization: []string{"Acme"}, CommonName: "Users"}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xC0FFEE),
		Subject: pkix.Name{
			Organization: []string{"Acme"}, OrganizationalUnit: []string{"data"}, CommonName: "alice",
			ExtraNames: []pkix.AttributeTypeAndValue{{
				Type:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1},
				Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("alice@acme.example")},
			}},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

func parse(t testing.TB, text string) *denylist.List {
	t.Helper()
	list, err := denylist.Parse([]byte(text))
	require.NoError(t, err)
	return list
}

// named returns a certificate that has a serial number and these names only.
func named(t testing.TB, subject, issuer pkix.RDNSequence) *x509.Certificate {
	t.Helper()
	cert := &x509.Certificate{SerialNumber: big.NewInt(1)}
	var err error
	cert.RawSubject, err = asn1.Marshal(subject)
	require.NoError(t, err)
	cert.RawIssuer, err = asn1.Marshal(issuer)
	require.NoError(t, err)
	return cert
}

func rdn(attributes ...pkix.AttributeTypeAndValue) pkix.RelativeDistinguishedNameSET {
	return attributes
}

func attribute(tag int, value string, oid ...int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
}

func utf8String(value string, oid ...int) pkix.AttributeTypeAndValue {
	return attribute(asn1.TagUTF8String, value, oid...)
}

func colons(digits string) string {
	var pairs []string
	for i := 0; i < len(digits); i += 2 {
		pairs = append(pairs, digits[i:i+2])
	}
	return strings.Join(pairs, ":")
}

func TestDenies(t *testing.T) {
	fingerprint := fmt.Sprintf("%x", sha256.Sum256(client.Raw))
	keySum := sha256.Sum256(client.RawSubjectPublicKeyInfo)
	spki := hex.EncodeToString(keySum[:])
	tests := map[string]struct{ line, why string }{
		"fingerprint":                      {"fingerprint " + fingerprint, denylist.Fingerprint},
		"fingerprint as openssl prints it": {"fingerprint " + strings.ToUpper(colons(fingerprint)), denylist.Fingerprint},
		"keyword in capitals":              {"FINGERPRINT " + fingerprint, denylist.Fingerprint},
		"spaces and tabs":                  {" \tfingerprint \t " + fingerprint + " \t", denylist.Fingerprint},
		"another fingerprint":              {"fingerprint " + spki, ""},
		"spki":                             {"spki " + spki, denylist.SPKI},
		"spki with colons":                 {"spki " + colons(spki), denylist.SPKI},
		"spki as a pin":                    {"spki " + base64.StdEncoding.EncodeToString(keySum[:]), denylist.SPKI},
		"another spki":                     {"spki " + fingerprint, ""},
		"serial":                           {"serial c0ffee issuer CN=Users,O=Acme", denylist.Serial},
		"serial with colons":               {"serial C0:FF:EE issuer CN=Users,O=Acme", denylist.Serial},
		"serial with leading zeros":        {"serial 00:00:C0:FF:EE issuer CN=Users,O=Acme", denylist.Serial},
		"serial with 0x":                   {"serial 0xC0FFEE issuer CN=Users,O=Acme", denylist.Serial},
		"serial with an odd digit":         {"serial 0C0FFEE issuer CN=Users,O=Acme", denylist.Serial},
		"issuer in other words":            {`Serial c0ffee Issuer o = ACME ; commonName = "users"`, denylist.Serial},
		"another serial":                   {"serial c0ffef issuer CN=Users,O=Acme", ""},
		"another issuer":                   {"serial c0ffee issuer CN=Users,O=Evil", ""},
		"a serial as part of it":           {"serial ffee issuer CN=Users,O=Acme", ""},
		"the subject as the issuer": {
			"serial c0ffee issuer EMAILADDRESS=alice@acme.example,CN=alice,OU=data,O=Acme", "",
		},
		"subject as Java prints it": {
			"subject EMAILADDRESS=alice@acme.example, CN=alice, OU=data, O=Acme", denylist.Subject,
		},
		"subject as Java's RFC 2253 form": {
			"subject 1.2.840.113549.1.9.1=#1612616c6963654061636d652e6578616d706c65,CN=alice,OU=data,O=Acme", denylist.Subject,
		},
		"subject as openssl prints it": {
			"subject O = Acme, OU = data, CN = alice, emailAddress = alice@acme.example", denylist.Subject,
		},
		"subject as openssl -nameopt has it": {
			"subject emailAddress=alice@acme.example,CN=alice,OU=data,O=Acme", denylist.Subject,
		},
		"subject as Windows prints it":       {"subject E=alice@acme.example, CN=alice, OU=data, O=Acme", denylist.Subject},
		"subject in another case":            {"subject e=ALICE@acme.example,cn=Alice,ou=DATA,o=acme", denylist.Subject},
		"subject without the e-mail address": {"subject CN=alice,OU=data,O=Acme", ""},
		"subject in no order":                {"subject CN=alice,EMAILADDRESS=alice@acme.example,OU=data,O=Acme", ""},
		"another subject":                    {"subject EMAILADDRESS=alice@acme.example,CN=alice2,OU=data,O=Acme", ""},
		"the issuer as the subject":          {"subject CN=Users,O=Acme", ""},
		"nobody":                             {"", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			why, denied := parse(t, tt.line).Denies(client)
			require.Equal(t, tt.why, why)
			require.Equal(t, tt.why != "", denied)
		})
	}
}

// Java prints these names in another way than RFC 2253, or in a way that another name
// has too. Users copy one or the other.
func TestDeniesNamesThatAreWrittenInSeveralWays(t *testing.T) {
	cn, o, unknown := []int{2, 5, 4, 3}, []int{2, 5, 4, 10}, []int{1, 2, 3, 4}
	title, serialNumber := []int{2, 5, 4, 12}, []int{2, 5, 4, 5}
	const bmpString = 30
	tests := map[string]struct {
		name pkix.RDNSequence
		same []string
		not  []string
	}{
		"a comma in a value": {
			pkix.RDNSequence{rdn(utf8String("Acme, Inc.", o...)), rdn(utf8String("bob", cn...))},
			[]string{`CN=bob, O="Acme, Inc."`, `CN=bob,O=Acme\, Inc.`, `O = "Acme, Inc.", CN = bob`},
			[]string{`CN=bob,O=Acme`},
		},
		"a value in double quotes": {
			pkix.RDNSequence{rdn(utf8String(`"bob"`, cn...))},
			[]string{`CN="bob"`, `CN=\"bob\"`},
			nil,
		},
		"several attributes in one": {
			pkix.RDNSequence{rdn(utf8String("bob", cn...), utf8String("7", serialNumber...)), rdn(utf8String("x", o...))},
			[]string{"O=x,CN=bob+SERIALNUMBER=7", "O=x,SERIALNUMBER=7 + CN=bob", "CN=bob+2.5.4.5=#0c0137,O=x"},
			[]string{"O=x,CN=bob,SERIALNUMBER=7"},
		},
		"several, of which some are numbers": {
			pkix.RDNSequence{rdn(utf8String("bob", cn...), utf8String("x", o...))},
			[]string{"2.5.4.10=x+CN=bob", "OID.2.5.4.10=x + commonName=bob", "O=x+2.5.4.3=bob"},
			[]string{"2.5.4.11=x+CN=bob"},
		},
		"an unknown type": {
			pkix.RDNSequence{rdn(utf8String("A b", unknown...))},
			[]string{"OID.1.2.3.4=A b", "1.2.3.4=#0c03412062", "1.2.3.4=a  B"},
			[]string{"1.2.3.40=A b"},
		},
		"two bytes for each character": {
			pkix.RDNSequence{rdn(attribute(bmpString, "\x00b\x00o\x00s\x00s", title...))},
			[]string{"T=boss", "title=Boss", "2.5.4.12=#1e080062006f00730073"},
			nil,
		},
		"letters beyond ASCII": {
			pkix.RDNSequence{rdn(utf8String("Zoë", cn...))},
			[]string{"CN=Zoë", `CN=Zo\C3\AB`, "CN=ZOË"},
			[]string{"CN=Zoe"},
		},
		"a value that looks like a name": {
			pkix.RDNSequence{rdn(utf8String("eve,O=x", cn...))},
			[]string{`CN=eve\,O\=x`, `CN="eve,O=x"`},
			[]string{"CN=eve,O=x"},
		},
		"a number sign": {
			pkix.RDNSequence{rdn(utf8String("bob #1", cn...))},
			[]string{`CN="bob #1"`, `CN=bob \#1`},
			nil,
		},
		"an empty value": {
			pkix.RDNSequence{rdn(utf8String("", o...)), rdn(utf8String("bob", cn...))},
			[]string{"CN=bob,O=", `CN=bob,O=""`},
			[]string{"CN=bob"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cert := named(t, tt.name, tt.name)
			for _, dn := range tt.same {
				why, _ := parse(t, "subject "+dn).Denies(cert)
				require.Equal(t, denylist.Subject, why, dn)
				why, _ = parse(t, "serial 01 issuer "+dn).Denies(cert)
				require.Equal(t, denylist.Serial, why, dn)
			}
			for _, dn := range tt.not {
				_, denied := parse(t, "subject "+dn).Denies(cert)
				require.False(t, denied, dn)
			}
		})
	}
}

func TestAnUnreadableNameIsDeniedWhereNamesAreListed(t *testing.T) {
	empty := pkix.RDNSequence{}
	readable := named(t, empty, empty)
	tests := map[string]struct {
		list            string
		subject, issuer []byte
		why             string
	}{
		"subject, and subjects are listed": {"subject CN=x", []byte("no DER"), readable.RawIssuer, denylist.Subject},
		"issuer, and serials are listed": {
			"serial 5 issuer CN=x", readable.RawSubject, []byte("no DER"), denylist.Serial,
		},
		"subject, and only serials are":       {"serial 5 issuer CN=x", []byte("no DER"), readable.RawIssuer, ""},
		"issuer, and only subjects are":       {"subject CN=x", readable.RawSubject, []byte("no DER"), ""},
		"both, and only fingerprints are":     {"fingerprint " + strings.Repeat("0", 64), nil, nil, ""},
		"both, and nobody is":                 {"", nil, nil, ""},
		"an empty subject, which is readable": {"subject CN=x", readable.RawSubject, readable.RawIssuer, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cert := &x509.Certificate{SerialNumber: big.NewInt(5), RawSubject: tt.subject, RawIssuer: tt.issuer}
			why, denied := parse(t, tt.list).Denies(cert)
			require.Equal(t, tt.why, why)
			require.Equal(t, tt.why != "", denied)
		})
	}
}

func TestSerialNumbersAtTheEdges(t *testing.T) {
	name := pkix.RDNSequence{rdn(utf8String("ca", 2, 5, 4, 3))}
	cert := named(t, name, name)
	long := strings.Repeat("f7", 20)
	tests := map[string]*big.Int{
		"0":            big.NewInt(0),
		"00":           big.NewInt(0),
		"0x0":          big.NewInt(0),
		"0x80":         big.NewInt(0x80),
		"9":            big.NewInt(9),
		"09":           big.NewInt(9),
		"0123":         big.NewInt(0x123),
		"12:34":        big.NewInt(0x1234),
		long:           new(big.Int).SetBytes([]byte(strings.Repeat("\xf7", 20))),
		"0" + long[1:]: new(big.Int).SetBytes([]byte("\x07" + strings.Repeat("\xf7", 19))),
	}
	for text, number := range tests {
		t.Run(text[:min(len(text), 8)], func(t *testing.T) {
			cert.SerialNumber = number
			_, denied := parse(t, "serial "+text+" issuer CN=ca").Denies(cert)
			require.True(t, denied)
			cert.SerialNumber = new(big.Int).Add(number, big.NewInt(1))
			_, denied = parse(t, "serial "+text+" issuer CN=ca").Denies(cert)
			require.False(t, denied)
		})
	}
}

// TestNamesAsOpenSSLPrintsThem: testdata/make.sh has OpenSSL make a certificate with each attribute
// type that it has a name for, and print its name as the documents say.
func TestNamesAsOpenSSLPrintsThem(t *testing.T) {
	data, err := os.ReadFile("testdata/names.pem")
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	printed, err := os.ReadFile("testdata/names.txt")
	require.NoError(t, err)
	serial, subject, _ := strings.Cut(strings.TrimSpace(string(printed)), "\n")

	why, _ := parse(t, subject).Denies(cert)
	require.Equal(t, denylist.Subject, why)
	why, _ = parse(t, serial+" issuer="+strings.TrimPrefix(subject, "subject=")).Denies(cert)
	require.Equal(t, denylist.Serial, why)
	names := strings.Split(strings.TrimPrefix(subject, "subject="), ",")
	require.Greater(t, len(names), 100)
	for i := range names { // each counts
		_, denied := parse(t, "subject "+strings.Join(slices.Delete(slices.Clone(names), i, i+1), ",")).Denies(cert)
		require.False(t, denied, names[i])
	}
}

// SN is the surname, as RFC 4519 section 2.32 and OpenSSL have it, and on an eID beside a serialNumber.
func TestSNIsTheSurname(t *testing.T) {
	name := pkix.RDNSequence{
		rdn(utf8String("EE", 2, 5, 4, 6)), rdn(utf8String(`MÄNNIK,MARI-LIIS,47101010033`, 2, 5, 4, 3)),
		rdn(utf8String("MÄNNIK", 2, 5, 4, 4)), rdn(utf8String("MARI-LIIS", 2, 5, 4, 42)),
		rdn(utf8String("PNOEE-47101010033", 2, 5, 4, 5)),
	}
	cert := named(t, name, name)
	line := `subject ` +
		`serialNumber=PNOEE-47101010033,GN=MARI-LIIS,SN=M\C3\84NNIK,CN=M\C3\84NNIK\,MARI-LIIS\,47101010033,C=EE`
	why, _ := parse(t, line).Denies(cert)
	require.Equal(t, denylist.Subject, why)
	_, denied := parse(t, strings.NewReplacer("SN=M", "serialNumber=M", "serialNumber=P",
		"SN=P").Replace(line)).Denies(cert)
	require.False(t, denied)

	for _, uid := range []string{"UID=x", "uid=x", "userId=x", "uniqueIdentifier=x", "0.9.2342.19200300.100.1.44=x"} {
		for _, last := range []int{1, 44} {
			name := pkix.RDNSequence{rdn(utf8String("x", 0, 9, 2342, 19200300, 100, 1, last))}
			_, denied := parse(t, "subject "+uid).Denies(named(t, name, name))
			require.True(t, denied, "%s for %d: the same word means both", uid, last)
		}
	}
}

// TestAFingerprintDeniesBothFormsOfASignature: with (r, s), (r, n-s) is one too (BIP 62), so that the
// holder of a certificate can give it another fingerprint.
func TestAFingerprintDeniesBothFormsOfASignature(t *testing.T) {
	var parts struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	_, err := asn1.Unmarshal(client.Raw, &parts)
	require.NoError(t, err)
	var signature struct{ R, S *big.Int }
	_, err = asn1.Unmarshal(parts.Signature.Bytes, &signature)
	require.NoError(t, err)
	signature.S = new(big.Int).Sub(elliptic.P256().Params().N, signature.S)
	parts.Signature.Bytes, err = asn1.Marshal(signature)
	require.NoError(t, err)
	parts.Signature.BitLength = 8 * len(parts.Signature.Bytes)
	der, err := asn1.Marshal(parts)
	require.NoError(t, err)
	twin, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	for _, denied := range []*x509.Certificate{client, twin} {
		list := parse(t, fmt.Sprintf("fingerprint %x\n", sha256.Sum256(denied.Raw)))
		for _, cert := range []*x509.Certificate{client, twin} {
			why, ok := list.Denies(cert)
			require.True(t, ok)
			require.Equal(t, denylist.Fingerprint, why)
		}
	}
}

// TestALetterThatIsWrittenInTwoWaysIsOne (letsencrypt/boulder#2968, RFC 4518 section 2.3): nobody sees how
// the authority has written it.
func TestALetterThatIsWrittenInTwoWaysIsOne(t *testing.T) {
	for name, tt := range map[string]struct {
		line, value string
		want        bool
	}{
		"composed in the file":           {"subject CN=J\u00f6rg", "Jo\u0308rg", true},
		"composed in the certificate":    {"subject CN=Jo\u0308rg", "J\u00f6rg", true},
		"a capital":                      {"subject CN=\u00d6st", "o\u0308st", true},
		"in bytes":                       {`subject CN=Jo\CC\88rg`, "J\u00f6rg", true},
		"Hangul":                         {"subject CN=\ud55c", "\u1112\u1161\u11ab", true},
		"a ligature":                     {"subject CN=o\ufb03ce", "office", true},
		"letters of full width":          {"subject CN=alice, O=x", "\uff41lice", true},
		"a comma of full width":          {"subject CN=a\\,b, O=x", "a\uff0cb", true},
		"a plus and an equals sign":      {"subject CN=a\\+b\\=c, O=x", "a\uff0bb\uff1dc", true},
		"a blank of another width":       {"subject CN=a b", "a\u2003b", true},
		"another letter":                 {"subject CN=Jorg", "J\u00f6rg", false},
		"another script":                 {"subject CN=alice", "\u0430lice", false},
		"a comma that is a part of none": {"subject CN=a,CN=b", "a\uff0cb", false},
	} {
		t.Run(name, func(t *testing.T) {
			subject := pkix.RDNSequence{rdn(utf8String(tt.value, 2, 5, 4, 3))}
			if strings.Contains(tt.line, "O=x") {
				subject = append(pkix.RDNSequence{rdn(utf8String("x", 2, 5, 4, 10))}, subject...)
			}
			_, denied := parse(t, tt.line).Denies(named(t, subject, subject))
			require.Equal(t, tt.want, denied)
			// The name of an issuer likewise.
			serial := strings.Replace(tt.line, "subject", "serial 0x1 issuer", 1)
			_, denied = parse(t, serial).Denies(named(t, subject, subject))
			require.Equal(t, tt.want, denied)
		})
	}
}
