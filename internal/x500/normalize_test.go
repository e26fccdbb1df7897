package x500_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// Random texts with the answers of the UnboundID LDAP SDK 6.0.3, which
// Elasticsearch 8 and 9 use. A missing answer is an exception.
func TestNormalizeAgreesWithElasticsearch(t *testing.T) {
	var vectors []struct {
		DN     string
		Normal *string
	}
	readJSON(t, "testdata/normal-forms.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		normal, err := x500.Normalize(v.DN)
		if v.Normal == nil {
			require.Error(t, err, "%q", v.DN)
			continue
		}
		require.NoError(t, err, "%q", v.DN)
		require.Equal(t, *v.Normal, normal, "%q", v.DN)
	}
}

func TestNormalizeTakesForTheSameName(t *testing.T) {
	tests := map[string][]string{
		"cn=alice,o=acme": {
			"CN=alice, O=acme", "cn=Alice,o=ACME", " CN = alice ; O = acme ", `CN="alice",O=acme`, `CN=\61lice,O=acme`,
			"CN=#0c05616c696365,O=acme",
		},
		"cn=bob smith":                {"CN=Bob  Smith", `CN=" bob smith "`, `CN=\ bob smith\ `},
		`cn=doe\, john`:               {`CN="Doe, John"`, `CN=Doe\, John`, `CN=Doe\2c John`},
		"cn=bob+ou=eng":               {"CN=bob + OU=eng", "OU=eng+CN=bob", "ou=ENG+cn=bob+OU=eng"},
		"serialnumber=123":            {"SERIALNUMBER=#1203313233", "SERIALNUMBER=123"},
		`o=m\c3\bcller`:               {"O=Müller", "O=MÜLLER", `O=M\C3\BCller`},
		"emailaddress=mia@example.de": {"EMAILADDRESS=mia@example.de"},
		`cn=\ `:                       {`CN=" "`, `CN=\ \ `},
		"cn=":                         {"CN=", "CN=  ", `CN=""`},
		"":                            {"", "   "},
	}
	for want, texts := range tests {
		for _, text := range texts {
			t.Run(text, func(t *testing.T) {
				got, err := x500.Normalize(text)
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		}
	}
}

func TestNormalizeTellsApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"CN=a,O=b", "O=b,CN=a", "CN=a+O=b", "CN=ab", "CN=a b", `CN=a\,O=b`, "commonName=a,O=b",
		"OID.2.5.4.3=a,O=b", "2.5.4.3=a,O=b", "CN=a\tb", "CN=", `CN=\ `, "",
	} {
		normal, err := x500.Normalize(text)
		require.NoError(t, err)
		require.Empty(t, seen[normal], "%q", text)
		seen[normal] = text
	}
}

func TestNormalizeRefuses(t *testing.T) {
	tests := map[string]string{
		"alice":                              `"alice" is not of the form type=value`,
		"CN=a,alice":                         `"alice" is not of the form type=value`,
		"CN=a,,O=b":                          "an attribute has no type",
		"=a":                                 "an attribute has no type",
		"CN a":                               `no "=" after "cn"`,
		"CN=a,":                              "it ends with a separator",
		"CN=a + ":                            "it ends with a separator",
		`CN=a"b"`:                            "double quote that is not at its start",
		`CN="a`:                              "no closing double quote",
		`CN="a"b`:                            "goes on after its closing double quote",
		`CN=a\`:                              "ends with a backslash",
		`CN=\4`:                              "half of an escaped byte",
		"CN=#xyz":                            "starts with # but is not hexadecimal",
		"CN=#":                               "not the encoding of a value",
		"CN=#0c05616263":                     "not the encoding of a value",
		"C\u200bN=a":                         "is not an attribute type",
		"*=a":                                "is not an attribute type",
		strings.Repeat("O=a,", x500.MaxSize): "more than 262144",
	}
	for text, want := range tests {
		t.Run(text[:min(len(text), 20)], func(t *testing.T) {
			_, err := x500.Normalize(text)
			require.ErrorContains(t, err, want)
		})
	}
}

func BenchmarkNormalize(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x500.Normalize("CN=alice, OU=data, O=analysts, C=DE"); err != nil {
			b.Fatal(err)
		}
	}
}

// checkNormal requires that a normal form is its own normal form.
func checkNormal(t *testing.T, dn string) {
	t.Helper()
	normal, err := x500.Normalize(dn)
	if err != nil {
		return
	}
	again, err := x500.Normalize(normal)
	require.NoError(t, err)
	require.Equal(t, normal, again)
	for _, c := range []byte(normal) {
		require.True(t, c >= ' ' && c <= '~', "%q", normal)
	}
}

func FuzzNormalize(f *testing.F) {
	for _, dn := range []string{"CN=alice, O=acme", `CN="a\\\"", O=\C3\A9 + OU=#0c0141`, "CN = a;O=b", `CN=\ `} {
		f.Add(dn)
	}
	f.Fuzz(checkNormal)
}
