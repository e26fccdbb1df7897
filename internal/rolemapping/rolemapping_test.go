package rolemapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/rolemapping"
)

func parse(t testing.TB, text string) *rolemapping.Mapping {
	t.Helper()
	mapping, err := rolemapping.Parse([]byte(text))
	require.NoError(t, err)
	return mapping
}

func TestRoles(t *testing.T) {
	mapping := parse(t, `
# Comments are fine.
monitoring:
  - "cn=admins,dc=example,dc=com"
user:
  - "CN=Doe\\, John, OU=users, O=example"
  - cn=admins,dc=example,dc=com
  - "CN=admins, DC=example, DC=com"    # the same again
  - SERIALNUMBER=#1203313233
5: [ O=numbers ]
empty: []
`)
	tests := map[string][]string{
		"cn=admins,dc=example,dc=com":         {"monitoring", "user"},
		"CN=Admins, DC=Example, DC=COM":       {"monitoring", "user"},
		`CN="Doe, John", OU=users, O=example`: {"user"},
		"SERIALNUMBER=123":                    {"user"},
		"O=numbers":                           {"5"},
		"CN=admins, DC=com, DC=example":       nil,
		"CN=John":                             nil,
		"admins":                              nil,
		`CN="unfinished`:                      nil,
		"":                                    nil,
	}
	for dn, want := range tests {
		t.Run(dn, func(t *testing.T) { require.Equal(t, want, mapping.Roles(dn)) })
	}
	require.Equal(t, 4, mapping.Len())
}

func TestRolesAreTheCallersOwn(t *testing.T) {
	mapping := parse(t, "a: [CN=x]\nb: [CN=x]\n")
	mapping.Roles("CN=x")[0] = "superuser"
	require.Equal(t, []string{"a", "b"}, mapping.Roles("CN=x"))
}

func TestFileWithoutRoles(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"the one of a fresh": "# Role mapping configuration file\n#\n# user:\n#   - \"cn=admins\"\n",
		"start of document":  "---\n",
		"byte order mark":    "\ufeff",
		"empty mapping":      "{}",
	} {
		t.Run(name, func(t *testing.T) {
			mapping := parse(t, text)
			require.Zero(t, mapping.Len())
			require.Empty(t, mapping.Roles("CN=x"))
			require.Empty(t, mapping.Roles(""))
		})
	}
}

func TestFileAsItComes(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark":  "\ufeffrole:\n  - CN=x\n",
		"carriage returns": "role:\r\n  - CN=x\r\n",
		"JSON":             `{"role": ["CN=x"]}`,
		"no indentation":   "role:\n- CN=x",
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, []string{"role"}, parse(t, text).Roles("CN=x"))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"what is not YAML":           {"role: [", "not YAML: yaml: line 1"},
		"tabs":                       {"role:\n\t- CN=x\n", "not YAML: yaml: line 2"},
		"a list of names alone":      {"- CN=x\n", "line 1: expected roles"},
		"a text alone":               {"CN=x\n", "line 1: expected roles"},
		"a second document":          {"a: [CN=x]\n---\nb: [CN=y]\n", "line 2: a second YAML document"},
		"garbage after the document": {"a: [CN=x]\n--- [\n", "not YAML: yaml: line 2"},
		"a name that is not a list":  {"\nrole: CN=x,O=y\n", `line 2: role "role": expected a list`},
		"a role without names":       {"role:\n", `line 1: role "role": expected a list`},
		"nested settings":            {"role:\n  names:\n    - CN=x\n", `role "role": expected a list`},
		"a list in a list": {
			"role:\n  - CN=x\n  - [CN=y]\n", `line 3: role "role": expected a distinguished name`,
		},
		"a mapping in a list": {"role:\n  - CN: x\n", `line 2: role "role": expected a distinguished name`},
		"a name that is none": {
			"role:\n  - CN=x\n  - alice\n", `line 3: role "role": "alice": x500: not a distinguished name`,
		},
		"a wildcard": {
			"role:\n  - \"*,O=y\"\n", `line 2: role "role": "*,O=y": x500: not a distinguished name`,
		},
		"a number":                    {"role: [5]", "not a distinguished name"},
		"an empty name":               {"role:\n  - \"\"\n", `line 2: role "role": an empty name`},
		"a missing name":              {"role:\n  -\n  - CN=x\n", `line 2: role "role": an empty name`},
		"an explicit null":            {"role: [~]", `"~": x500: not a distinguished name`},
		"a role twice":                {"a: [CN=x]\nb: [CN=x]\na: [CN=y]\n", `line 3: role "a" is already on line 1`},
		"a role with a dot":           {"a.b: [CN=x]", `line 1: role "a.b": Elasticsearch ignores a role with a dot`},
		"a role without a name":       {`"": [CN=x]`, `line 1: role "": the name of a role is 1 to 507`},
		"a role that is null":         {"~: [CN=x]", "line 1: expected the name of a role"},
		"a role with spaces around":   {`" a": [CN=x]`, `role " a": the name of a role`},
		"a role beyond ASCII":         {"ü: [CN=x]", `role "ü": the name of a role`},
		"a role that is too long":     {strings.Repeat("r", 508) + ": [CN=x]", "the name of a role is 1 to 507"},
		"a list as a role":            {"? [a]\n: [CN=x]\n", "line 1: expected the name of a role"},
		"a merge":                     {"<<: {a: [CN=x]}\n", "line 1: expected the name of a role"},
		"an anchor":                   {"a: &names [CN=x]\n", "line 1: anchors and aliases"},
		"an alias for a list":         {"a: &names [CN=x]\nb: *names\n", "line 2: anchors and aliases"},
		"an alias for a name":         {"a: [ &x CN=x ]\nb: [ *x ]\n", "line 2: anchors and aliases"},
		"a tag":                       {"a: !names [CN=x]\n", "line 1: tag !names"},
		"a name in another base":      {"a: [ !!binary Q049eA== ]\n", "line 1: tag !!binary"},
		"the document with an anchor": {"&all\na: [CN=x]\n", "anchors and aliases"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			mapping, err := rolemapping.Parse([]byte(tt.text))
			require.ErrorContains(t, err, "role mapping: ")
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, mapping)
		})
	}
}

// TestDoubtfulNames (elastic/elasticsearch#60432, openssl/openssl#3306): Elasticsearch takes them, and nobody
// gets the role.
func TestDoubtfulNames(t *testing.T) {
	for name, tt := range map[string]struct{ dn, want string }{
		"a wildcard":              {"cn=*,ou=admins,dc=example", "the * stands for itself"},
		"a part of one":           {"cn=svc-*,dc=example", "the * stands for itself"},
		"a character by number":   {`cn=Jo\U0308rg`, "a backslash before the letter U"},
		"bytes as in C":           {`cn=\xC3\x96st`, "a backslash before the letter x"},
		"a byte of Latin-1":       {`cn=J\F6rg`, "are not UTF-8"},
		"a host name":             {"cn=*.example.com", ""},
		"a * that is meant as it": {`cn=\2a,dc=example`, ""},
		"escaped UTF-8":           {`cn=J\C3\B6rg`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			mapping := parse(t, "user:\n  - cn=x\nadmin:\n  - '"+tt.dn+"'\n")
			require.Equal(t, []string{"user"}, mapping.Roles("CN=x"))
			if tt.want == "" {
				require.NoError(t, mapping.Doubts())
				return
			}
			require.ErrorContains(t, mapping.Doubts(), `line 4: role "admin": `)
			require.ErrorContains(t, mapping.Doubts(), tt.want)
		})
	}
}

func TestParseReportsEveryLine(t *testing.T) {
	_, err := rolemapping.Parse([]byte("a.b: [CN=x]\nc:\n  - alice\n  - CN=x\n  - bob\n"))
	for _, line := range []string{"line 1: ", "line 3: ", "line 5: "} {
		require.ErrorContains(t, err, line)
	}
}

func TestParseReportsAFewOfMany(t *testing.T) {
	_, err := rolemapping.Parse([]byte("a:\n" + strings.Repeat("  - x\n", 1000)))
	require.ErrorContains(t, err, "line 11: ")
	require.ErrorContains(t, err, "and 990 more")
	require.NotContains(t, err.Error(), "line 12: ")
}

func TestParseIsBounded(t *testing.T) {
	_, err := rolemapping.Parse([]byte(strings.Repeat("#", rolemapping.MaxSize+1)))
	require.ErrorContains(t, err, "more than 4194304")
}

// entries returns a file with n names in ten roles.
func entries(n int) string {
	var text strings.Builder
	for role := range 10 {
		fmt.Fprintf(&text, "role%d:\n", role)
		for i := range n / 10 {
			fmt.Fprintf(&text, "  - \"CN=client-%d-%d, OU=data, O=analysts, C=DE\"\n", role, i)
		}
	}
	return text.String()
}

func TestManyNames(t *testing.T) {
	mapping := parse(t, entries(10_000))
	require.Equal(t, 10_000, mapping.Len())
	require.Equal(t, []string{"role9"}, mapping.Roles("cn=client-9-999,ou=data,o=analysts,c=de"))
}

func BenchmarkRolesOf10000(b *testing.B) {
	mapping := parse(b, entries(10_000))
	b.ReportAllocs()
	for b.Loop() {
		if len(mapping.Roles("CN=client-5-500, OU=data, O=analysts, C=DE")) != 1 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkParse10000(b *testing.B) {
	data := []byte(entries(10_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rolemapping.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("monitoring:\n  - \"cn=admins,dc=example,dc=com\"\nuser: [ 'CN=x' , O=y ]\n"))
	f.Add([]byte(`{"a": ["CN=\"x, y\""], "b": []}`))
	f.Add([]byte("a: &x [CN=x]\nb: *x\n"))
	f.Add([]byte("? [a]\n: !t 5\n--- \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mapping, err := rolemapping.Parse(data)
		if err != nil {
			require.Nil(t, mapping)
			return
		}
		// Any YAML parser reads the same names and roles.
		var plain map[string][]string
		require.NoError(t, yaml.Unmarshal(data, &plain))
		for role, names := range plain {
			for _, dn := range names {
				require.Contains(t, mapping.Roles(dn), role, "%q", dn)
			}
		}
	})
}
