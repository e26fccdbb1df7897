package x500_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// attribute is one type and value for subject, with the type's DER content and
// the value's string type.
type attribute struct {
	oid string
	tag cbasn1.Tag
	raw string
}

const (
	oidCN = "\x55\x04\x03"
	oidO  = "\x55\x04\x0a"
	oidOU = "\x55\x04\x0b"
)

// subject encodes relative distinguished names, each with any number of attributes.
func subject(rdns ...[]attribute) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range rdns {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				for _, a := range rdn {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(cbasn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.oid)) })
						b.AddASN1(a.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.raw)) })
					})
				}
			})
		}
	})
	return b.BytesOrPanic()
}

func cn(tag cbasn1.Tag, raw string) []attribute { return []attribute{{oidCN, tag, raw}} }

func parse(t testing.TB, der []byte) x500.Name {
	t.Helper()
	name, err := x500.Parse(der)
	require.NoError(t, err)
	return name
}

// readJSON fills v from a file.
func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}

// The answers of Elasticsearch 8.17 and 9.2 to these certificates, from a PKI realm
// with the default username_pattern.
func TestStringAgreesWithPKIRealm(t *testing.T) {
	var vectors []struct {
		Name     string
		Subject  []byte  `json:"subject_der_base64"`
		Cert     string  `json:"cert_pem"`
		DN       *string `json:"pki_dn"`
		Username *string
	}
	readJSON(t, "../../testdata/dn-vectors.json", &vectors)
	require.NotEmpty(t, vectors)
	pattern := regexp.MustCompile(`(?i)CN=(.*?)(?:,|$)`)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			block, _ := pem.Decode([]byte(v.Cert))
			cert, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			require.Equal(t, v.Subject, cert.RawSubject)

			dn := parse(t, cert.RawSubject).String()
			if v.DN != nil {
				require.Equal(t, *v.DN, dn)
			}
			var username string
			if match := pattern.FindStringSubmatch(dn); len(match) > 1 {
				username = match[1]
			}
			if v.Username == nil {
				require.Empty(t, username, "the realm refuses %q", dn)
				return
			}
			require.Equal(t, *v.Username, username)
		})
	}
}

// Random subjects of every string type with the answers of Java 17 and 25
// (which agree), and of the UnboundID LDAP SDK 6.0.3 that Elasticsearch has.
// A missing answer is an exception.
func TestRenderingAgreesWithJava(t *testing.T) {
	var vectors []struct {
		Subject    []byte
		Java       string
		RFC2253    string
		OpenSearch *string
		Normal     *string
	}
	readJSON(t, "testdata/java-names.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		name := parse(t, v.Subject)
		require.Equal(t, v.Java, name.String(), "%x", v.Subject)
		require.Equal(t, v.RFC2253, name.RFC2253(), "%x", v.Subject)
		if v.OpenSearch != nil {
			require.Equal(t, *v.OpenSearch, name.OpenSearch(), "%x", v.Subject)
		}
		normal, err := x500.Normalize(name.String())
		if v.Normal == nil {
			require.Error(t, err, "%x", v.Subject)
			continue
		}
		require.NoError(t, err, "%x", v.Subject)
		require.Equal(t, *v.Normal, normal, "%x", v.Subject)
	}
}

func TestRendering(t *testing.T) {
	email := "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"
	tests := []struct {
		name                      string
		rdns                      [][]attribute
		java, rfc2253, openSearch string
	}{
		{name: "no relative name"},
		{
			name: "the last relative name comes first",
			rdns: [][]attribute{{{oidO, cbasn1.UTF8String, "acme"}}, cn(cbasn1.UTF8String, "bob")},
			java: "CN=bob, O=acme", rfc2253: "CN=bob,O=acme", openSearch: "CN=bob,O=acme",
		},
		{
			name: "attributes of one relative name keep their order, which OpenSearch sorts",
			rdns: [][]attribute{{{oidOU, cbasn1.UTF8String, "eng"}, {oidCN, cbasn1.UTF8String, "bob"}}},
			java: "OU=eng + CN=bob", rfc2253: "OU=eng+CN=bob", openSearch: "CN=bob+OU=eng",
		},
		{
			name: "an e-mail address has a name in Java and OpenSearch, but not in RFC 2253",
			rdns: [][]attribute{{{email, cbasn1.IA5String, "a@b"}}},
			java: "EMAILADDRESS=a@b", rfc2253: "1.2.840.113549.1.9.1=#1603614062", openSearch: "EMAILADDRESS=a@b",
		},
		{
			name: "a value in double quotes is not quoted again",
			rdns: [][]attribute{cn(cbasn1.UTF8String, `"alice"`)},
			java: `CN="alice"`, rfc2253: `CN=\"alice\"`, openSearch: "CN=alice",
		},
		{
			name: "a lone double quote",
			rdns: [][]attribute{cn(cbasn1.UTF8String, `"`)},
			java: `CN="\""`, rfc2253: `CN=\"`, openSearch: `CN=\"`,
		},
		{
			name: "spaces at the edges",
			rdns: [][]attribute{cn(cbasn1.UTF8String, "  a ")},
			java: `CN="  a "`, rfc2253: `CN=\ \ a\ `, openSearch: `CN=\ \ a`,
		},
		{
			name: "Latin-1 in a TeletexString",
			rdns: [][]attribute{cn(cbasn1.T61String, "Zo\xeb")},
			java: "CN=Zoë", rfc2253: "CN=Zoë", openSearch: "CN=Zoë",
		},
		{
			name: "UTF-16 in a BMPString, with the NUL at its end",
			rdns: [][]attribute{cn(30, "\x4e\x2d\x00\x00")},
			java: "CN=中\x00", rfc2253: `CN=中\00`, openSearch: "CN=中\x00",
		},
		{
			name: "UTF-32 in a UniversalString",
			rdns: [][]attribute{cn(28, "\x00\x01\xf6\x00")},
			java: "CN=😀", rfc2253: "CN=#1c040001f600", openSearch: "CN=😀",
		},
		{
			name: "a NumericString is hexadecimal",
			rdns: [][]attribute{cn(18, "12")},
			java: "CN=#12023132", rfc2253: "CN=#12023132", openSearch: "CN=#12023132",
		},
		{
			name: "an empty relative name",
			rdns: [][]attribute{{}, cn(cbasn1.UTF8String, "a")},
			java: "CN=a, ", rfc2253: "CN=a,", openSearch: "CN=a,",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := parse(t, subject(tt.rdns...))
			require.Equal(t, tt.java, name.String())
			require.Equal(t, tt.rfc2253, name.RFC2253())
			require.Equal(t, tt.openSearch, name.OpenSearch())
		})
	}
}

func TestStringsTakesEveryValueInCertificateOrder(t *testing.T) {
	name := parse(t, subject(
		[]attribute{{oidOU, cbasn1.UTF8String, "a"}},
		[]attribute{{oidCN, cbasn1.UTF8String, "x"}, {oidOU, cbasn1.PrintableString, "b"}},
		[]attribute{{oidOU, cbasn1.UTF8String, ""}},
	))

	values, err := name.Strings(x500.OrganizationalUnit)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", ""}, values)

	values, err = name.Strings(x500.Organization)
	require.NoError(t, err)
	require.Empty(t, values)
}

func TestLastIsTheMostSpecificValue(t *testing.T) {
	of := func(text string) attribute { return attribute{oidCN, cbasn1.UTF8String, text} }
	tests := map[string]struct {
		rdns  [][]attribute
		want  string
		found bool
		err   error
	}{
		"none":                          {[][]attribute{{{oidOU, cbasn1.UTF8String, "a"}}}, "", false, nil},
		"one":                           {[][]attribute{{of("a")}, {{oidOU, cbasn1.UTF8String, ""}}}, "a", true, nil},
		"the most specific":             {[][]attribute{{of("z")}, {of("a")}}, "a", true, nil},
		"several in one relative name":  {[][]attribute{{of("b"), of("a")}}, "", false, x500.ErrSeveral},
		"also where it is not the last": {[][]attribute{{of("a"), of("b")}, {of("c")}}, "", false, x500.ErrSeveral},
		"among other attributes":        {[][]attribute{{of("a"), {oidOU, cbasn1.UTF8String, "b"}}}, "a", true, nil},
		"an empty one is passed over":   {[][]attribute{{of("a")}, {of("")}}, "", false, x500.ErrPassedOver},
		"and what follows an empty one": {
			[][]attribute{{of("a")}, {{oidOU, cbasn1.UTF8String, ""}, of("b")}}, "", false, x500.ErrPassedOver,
		},
		"a T61String is passed over": {
			[][]attribute{{of("a")}, {{oidCN, cbasn1.T61String, "b"}}}, "", false, x500.ErrPassedOver,
		},
		"a T61String before it": {
			[][]attribute{{{oidCN, cbasn1.T61String, "b"}}, {of("a")}}, "", false, x500.ErrPassedOver,
		},
		"a UniversalString too":           {[][]attribute{{{oidCN, 28, "\x00\x00\x00a"}}}, "", false, x500.ErrPassedOver},
		"what cannot be a name spoils it": {[][]attribute{{of("a\x00")}, {of("a")}}, "", false, x500.ErrControl},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			value, found, err := parse(t, subject(tt.rdns...)).Last(x500.CommonName)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, value)
			require.Equal(t, tt.found, found)
		})
	}
}

func TestValueThatCannotBeAName(t *testing.T) {
	tests := []struct {
		name string
		tag  cbasn1.Tag
		raw  string
		want error
		text string
	}{
		{"plain text", cbasn1.UTF8String, "Zoë 中文 😀", nil, "Zoë 中文 😀"},
		{"empty text", cbasn1.UTF8String, "", nil, ""},
		{"a right-to-left override, which is for the eye alone", cbasn1.UTF8String, "a\u202eb", nil, "a\u202eb"},
		{"a character in PrintableString that is beyond its alphabet", cbasn1.PrintableString, "a@b_c", nil, "a@b_c"},
		{"digits in a NumericString", 18, "123", nil, "123"},
		{"NUL", cbasn1.UTF8String, "a\x00b", x500.ErrControl, "a\x00b"},
		{"newline", cbasn1.PrintableString, "a\nb", x500.ErrControl, "a\nb"},
		{"delete", cbasn1.IA5String, "a\x7f", x500.ErrControl, "a\x7f"},
		{"next line, in Latin-1", cbasn1.T61String, "a\x85", x500.ErrControl, "a\u0085"},
		{"line separator", cbasn1.UTF8String, "a\u2028", x500.ErrControl, "a\u2028"},
		{"NUL at the end of a BMPString", 30, "\x00a\x00\x00", x500.ErrControl, "a\x00"},
		{"invalid UTF-8", cbasn1.UTF8String, "a\xffb", x500.ErrEncoding, "a\ufffdb"},
		{"truncated UTF-8 is one replacement", cbasn1.UTF8String, "\xf0\x9f\x98", x500.ErrEncoding, "\ufffd"},
		{"an encoded surrogate is one replacement", cbasn1.UTF8String, "\xed\xa0\x80", x500.ErrEncoding, "\ufffd"},
		{"overlong UTF-8 is one for each byte", cbasn1.UTF8String, "\xc0\x80", x500.ErrEncoding, "\ufffd\ufffd"},
		{"Latin-1 in an IA5String", cbasn1.IA5String, "Zo\xeb", x500.ErrEncoding, "Zo\ufffd"},
		{"odd number of bytes in a BMPString", 30, "\x00a\x00", x500.ErrEncoding, "a\ufffd"},
		{"surrogates in a BMPString", 30, "\xd8\x3d\xde\x00", x500.ErrEncoding, "😀"},
		{"half a surrogate pair takes what follows with it", 30, "\xd8\x3d\x00a\x00b", x500.ErrEncoding, "\ufffdb"},
		{"code point out of range", 28, "\x7f\xff\xff\xff\xff\xff\xff\xff", x500.ErrEncoding, "\ufffd\ufffd"},
		{"octets", cbasn1.OCTET_STRING, "abc", x500.ErrNotString, ""},
		{"a number", cbasn1.INTEGER, "\x05", x500.ErrNotString, ""},
		{"nothing", cbasn1.NULL, "", x500.ErrNotString, ""},
		{"a constructed UTF8String", cbasn1.UTF8String.Constructed(), "\x0c\x01a", x500.ErrNotString, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := parse(t, subject(cn(tt.tag, tt.raw)))
			value := name.Values(x500.CommonName)[0]
			require.Equal(t, tt.text, value.Value)
			require.Equal(t, tt.want, value.Err())

			values, err := name.Strings(x500.CommonName)
			if tt.want == nil {
				require.NoError(t, err)
				require.Equal(t, []string{tt.text}, values)
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, "the certificate's CN ")
			require.Nil(t, values)
		})
	}
}

func TestOneBadValueSpoilsAllOfItsType(t *testing.T) {
	name := parse(t, subject(cn(cbasn1.UTF8String, "good"), cn(cbasn1.UTF8String, "b\x00d")))
	_, err := name.Strings(x500.CommonName)
	require.ErrorIs(t, err, x500.ErrControl)
}

func TestAttributeTypes(t *testing.T) {
	tests := map[string]struct{ oid, java, rfc2253 string }{
		"known":                       {"\x55\x04\x04", "SURNAME=x", "2.5.4.4=#0c0178"},
		"unknown":                     {"\x2a\x03", "OID.1.2.3=x", "1.2.3=#0c0178"},
		"first arc with large second": {"\x88\x37\x03", "OID.2.999.3=x", "2.999.3=#0c0178"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := parse(t, subject([]attribute{{tt.oid, cbasn1.UTF8String, "x"}}))
			require.Equal(t, tt.java, n.String())
			require.Equal(t, tt.rfc2253, n.RFC2253())
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ der, want string }{
		"nothing":                        {"", "not a DER SEQUENCE"},
		"another type":                   {"0400", "not a DER SEQUENCE"},
		"a length beyond the end":        {"3005", "not a DER SEQUENCE"},
		"an indefinite length":           {"30800000", "not a DER SEQUENCE"},
		"a length that is not shortest":  {"308100", "not a DER SEQUENCE"},
		"data after the name":            {"300000", "data after the name"},
		"a relative name that is no SET": {"30023000", "relative name 1 is not a DER SET"},
		"an attribute that is a SET":     {"300431023100", "the attribute is not a DER SEQUENCE"},
		"an attribute without a type":    {"300431023000", "type is not a usable OID"},
		"an empty type":                  {"300831063004" + "0600" + "0c00", "type is not a usable OID"},
		"a type that never ends":         {"300931073005" + "060180" + "0c00", "type is not a usable OID"},
		"a type with a huge arc":         {"300f310d300b" + "06072aff8080808001" + "0c00", "type is not a usable OID"},
		"no value":                       {"300931073005" + "0603550403", "value of 2.5.4.3 is not DER"},
		"a value of two elements":        {"300d310b3009" + "0603550403" + "0c000c00", "data after the value of 2.5.4.3"},
		"a tag of two bytes":             {"300c310a3008" + "0603550403" + "1f2100", "value of 2.5.4.3 is not DER"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			der, err := hex.DecodeString(tt.der)
			require.NoError(t, err)
			_, err = x500.Parse(der)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestParseIsBounded(t *testing.T) {
	fits := subject(cn(cbasn1.UTF8String, strings.Repeat("x", x500.MaxSize-100)))
	require.Len(t, parse(t, fits).String(), x500.MaxSize-100+len("CN="))

	_, err := x500.Parse(subject(cn(cbasn1.UTF8String, strings.Repeat("x", x500.MaxSize))))
	require.ErrorContains(t, err, "more than 262144")
}

func TestManyAttributes(t *testing.T) {
	rdns := make([][]attribute, 2000)
	for i := range rdns {
		rdns[i] = []attribute{{oidO, cbasn1.UTF8String, "group"}}
	}
	values, err := parse(t, subject(rdns...)).Strings(x500.Organization)
	require.NoError(t, err)
	require.Len(t, values, 2000)
}

// usual returns a subject of the size that clients have.
func usual() []byte {
	return subject(
		[]attribute{{"\x55\x04\x06", cbasn1.PrintableString, "DE"}},
		[]attribute{{oidO, cbasn1.UTF8String, "analysts"}},
		[]attribute{{oidOU, cbasn1.UTF8String, "data"}},
		cn(cbasn1.UTF8String, "alice"),
	)
}

func BenchmarkParse(b *testing.B) {
	der := usual()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x500.Parse(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkString(b *testing.B) {
	name := parse(b, usual())
	b.ReportAllocs()
	for b.Loop() {
		_ = name.String()
	}
}

func FuzzParse(f *testing.F) {
	f.Add(usual())
	f.Add(subject())
	f.Add(subject(cn(30, "\xd8\x3d\xde\x00"), cn(28, "\x00\x01\xf6\x00"), cn(cbasn1.UTF8String, `"a\`)))
	f.Add(subject([]attribute{{oidOU, 18, "1"}, {"\x2a\x03", cbasn1.T61String, "Zo\xeb"}}))
	f.Fuzz(func(t *testing.T, der []byte) {
		name, err := x500.Parse(der)
		if err != nil {
			require.Nil(t, name)
			return
		}
		_, _ = name.RFC2253(), name.OpenSearch()
		_, _ = name.Strings(x500.CommonName)
		attributes, spelled := 0, false
		for _, rdn := range name {
			attributes += len(rdn)
			for _, a := range rdn {
				spelled = spelled || a.Value != ""
			}
		}
		java := name.String()
		require.GreaterOrEqual(t, len(java), attributes, "something is printed for every attribute")
		if spelled {
			require.NotEmpty(t, java)
		}
		checkNormal(t, java)
	})
}
