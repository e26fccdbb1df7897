package pattern_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
)

// TestOnlyLettersOfASCIIHaveTwoCases: Go's (?i) takes ſ (U+017F) for s and the Kelvin sign (U+212A)
// for k, so that OU=ſervices had the groups of OU=services. Java's CASE_INSENSITIVE, and with it the
// PKI realm, does not.
func TestOnlyLettersOfASCIIHaveTwoCases(t *testing.T) {
	for _, tt := range []struct{ pattern, text, want string }{
		{"OU=(services)", "ou=SERVICES", "SERVICES"},
		{"OU=(services)", "OU=\u017fervices", "none"},
		{"OU=(services)", "OU=service\u017f", "none"},
		{"(k8s)", "\u212a8s", "none"},
		{"([k-s])", "\u212a\u017f", "none"},
		{"([K-S])", "x\u212a\u017fk", "k"},
		{"([^k]+)", "kK\u212a", "\u212a"},
		{"([^a-z]+)", "sK\u017f\u212a", "\u017f\u212a"},
		{`(\w+)`, "\u212a\u017fs", "s"},
		{`([\w]+)`, "\u212a\u017fs", "s"},
		{`(\W+)`, "s\u212a\u017fs", "\u212a\u017f"},
		{`(\x6b)`, "\u212a", "none"},
		{`(\x6b)`, "K", "K"},
		{`(\Qk\E)`, "\u212aK", "K"},
		{"(?i:(s))", "\u017fS", "S"},
		{"(?i)(s)", "\u017fS", "S"},
		{"(?-i)(s)", "Ss", "s"},
		{"(?-i:(s))S", "Sss", "s"},
		{"((?-i)s)S", "sss", "s"},
		{"(?-i:s|(?i)k)(x)", "Kx", "x"},
		{"(\u00eb)", "\u00cb\u00eb", "\u00eb"},
		{"(\u017f)", "sS\u017f", "\u017f"},
		{"([\u0130-\u0140]+)", "ik\u0131K\u0130", "\u0131"},
		{"([\u2100-\u2200])", "k\u212a", "\u212a"},
	} {
		require.Equal(t, tt.want, find(t, tt.pattern, tt.text), "%s in %s", tt.pattern, tt.text)
	}
}

// TestAPatternFindsWhatJavaFinds has results of OpenJDK 17. An integration test compares many more.
func TestAPatternFindsWhatJavaFinds(t *testing.T) {
	for _, tt := range []struct{ pattern, text, want string }{
		{"CN=(.*?)(?:,|$)", "CN=alice, O=acme", "alice"},
		{"CN=(.*?)(?:,|$)", "O=acme, cn=Alice", "Alice"},
		{"CN=(.*?)(?:,|$)", `O="x,CN=admin", CN=eve`, `admin"`}, // CVE-2025-37731
		{"CN=([a-z]+)", "CN=ALICE", "ALICE"},
		{"CN=(a|al|alice)", "CN=alice", "a"},
		{"CN=(a|)", "CN=b", ""},
		{"CN=(|a)", "CN=a", ""},
		{"((?:(a)|l)+)", "al", "al"},
		{"(?:UID=(.*?), )?CN=", "UID=a, CN=b", "a"},
		{"(?<who>[^,]+),", "a,b", "a"},
		{"(a{2,3}?)", "aaaa", "aa"},
		{`CN=(\Qa.b*\E)`, "CN=a.b*", "a.b*"},
		{`CN=(a)\Q.b*`, "CN=a.b*", "a"},
		{`(\Qab\E+)`, "abb", "abb"},
		{`(a.)\Z`, "ab", "ab"},
		{`\A(a.)\z`, "ab", "ab"},
		{"(?s)(?m)^(.)", "ab", "a"},
		{"([+--]+)", "a+,-.", "+,-"},
		{"([a-]+)", "b-A", "-A"},
		{"([-a]+)", "b-A", "-A"},
		{"([a&]+)", "b&A", "&A"},
		{"([^^]+)", "^a", "a"},
		{"([Z-a]+)", "bzA^", "zA^"},
		{"([@-_]+)", "`a[", "a["},
		{`([\w.-]+)`, " a.-b ", "a.-b"},
		{`([^\s]+)`, " a\u00a0b ", "a\u00a0b"},
		{"}(.*)", "}x", "x"},
		{`(\-\_\é)`, "-_é", "-_é"},
		{"(.)", "\U0001f600", "\U0001f600"},
	} {
		require.Equal(t, tt.want, find(t, tt.pattern, tt.text), "%s in %s", tt.pattern, tt.text)
	}
}

func find(t *testing.T, source, text string) string {
	t.Helper()
	re, err := pattern.Compile(source)
	require.NoError(t, err)
	if match := re.FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return "none"
}

// TestWhatJavaReadsOtherwiseIsAnError: patterns that Go does not support, that have another meaning in Java, or
// whose meaning depends on the release of Java.
func TestWhatJavaReadsOtherwiseIsAnError(t *testing.T) {
	for source, advice := range map[string]string{
		"CN=.*":           "put what is the name in parentheses",
		"(?:CN)=.*":       "put what is the name in parentheses",
		"(":               `write ), or \( for`,
		"(a))":            `write \) for`,
		"(a":              "not closed",
		"(a)[":            "not closed",
		"(a)[b":           "not closed",
		"(a)\\":           `write \\ for`,
		"(a)[\\":          `write \\ for`,
		"(*)":             "nothing before it to repeat",
		"(a|*)":           "nothing before it to repeat",
		"^*(a)":           "nothing before it to repeat",
		"(a)$+":           "nothing before it to repeat",
		"((a)**)":         "nothing before it to repeat",
		"((a){2}{3})":     "nothing before it to repeat",
		"(a)*+":           "possessive",
		"(a)++":           "possessive",
		"(a)?+":           "possessive",
		"(a){2}+":         "possessive",
		"(a){1001}":       "no regular expression",
		"(a){":            `write \{ for`,
		"{(a)":            `write \{ for`,
		"(a){,3}":         `write \{ for`,
		"(a*)*":           "repeats what can be empty",
		"(a|b*)+":         "repeats what can be empty",
		"((?:)){2}":       "repeats what can be empty",
		"(a?)?":           "repeats what can be empty",
		"(?:(a)|l)+":      "repeats its first group",
		"(a){2}":          "repeats its first group",
		"(a)*?b":          "repeats its first group",
		"(a)(?=,)":        "look-ahead",
		"(a)(?!,)":        "look-ahead",
		"(?<=x)(a)":       "look-behind",
		"(?<!x)(a)":       "look-behind",
		"(?>a)(b)":        "atomic",
		"(?P<n>a)":        "(?<name>",
		"(?'n'a)":         "no group that Java",
		"(?#comment)(a)":  "no group that Java",
		"(?<1n>a)":        "no group that Java",
		"(?U)(a)":         "flag U",
		"(?u)(a)":         "flag u",
		"(?x)(a)":         "flag x",
		"(?d)(a)":         "flag d",
		"(?i-U:(a))":      "flag U",
		`(a)\1`:           "refers back",
		`(?<n>a)\k<n>`:    "refers back",
		`\bCN=(a)`:        "Java 19",
		`(a)\B`:           "Java 19",
		`(\p{L}+)`:        "each release of Java",
		`(\pL)`:           "each release of Java",
		`([\p{Lu}]+)`:     "each release of Java",
		`(\P{Alpha})`:     "each release of Java",
		`(\h)`:            `\h is not supported`,
		`(\v)`:            `\v is not supported`,
		`(\R)`:            `\R is not supported`,
		`(\X)`:            `\X is not supported`,
		`(\e)`:            `\e is not supported`,
		`(\cA)`:           `\c is not supported`,
		`(\0101)`:         `\0 is not supported`,
		`(\N{DIGIT ONE})`: `\N is not supported`,
		`\G(a)`:           `\G is not supported`,
		`(a)\E`:           `\E is not supported`,
		`(\C)`:            `\C is not supported`,
		`(\x4)`:           `\x is not supported`,
		`(\ud83d\ude00)`:  "no character of Unicode",
		`(\x{110000})`:    "no character of Unicode",
		"([a[bc]])":       "class in a class",
		"([[:alpha:]])":   "class in a class",
		"([a&&b])":        "&&",
		"([&&b])":         "&&",
		"([])":            "begins with ]",
		"([]a])":          "begins with ]",
		"([^]a])":         "begins with ]",
		"([z-a])":         "the other way round",
		"([a-c-e])":       `write \-`,
		`([\w-a])`:        `write \-`,
		`([a-\w])`:        `\w is not supported`,
		"([a-[b]])":       "ends with a bracket",
		`([\Qa\E])`:       `\Q is not supported`,
		`([\b])`:          `\b is not supported`,
		"(\xff)":          "not UTF-8",
	} {
		_, err := pattern.Compile(source)
		require.ErrorContains(t, err, advice, source)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"CN=(.*?)(?:,|$)", "(?i:(s))[^k-m]{2,3}?", `\Q(\E(a|b)*`, `([\w\-]+)\x{61}\u0062`, "(?<n>a)(?-i)b", "([", `\`,
		"(a**)", "((((",
	} {
		f.Add(s, "CN=Alice, OU=services")
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		re, err := pattern.Compile(source)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.GreaterOrEqual(t, re.NumSubexp(), 1)
		// The same expression in Go, which heeds case, matches no other texts.
		if own, err := regexp.Compile(source); err == nil && !strings.ContainsAny(source, `.$\(`) && own.MatchString(text) {
			require.True(t, re.MatchString(text), "%q in %q", source, text)
		}
		re.FindAllStringSubmatch(text, -1)
	})
}
