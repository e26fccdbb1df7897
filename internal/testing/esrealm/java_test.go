package esrealm

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURIsAsJavaReadsThem(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "https://h:1/a%41?b[c]#d": true, "mailto:a@b": true, "file:///x": true, "http://u@[::1]:80/": true,
		"é": true, "http://h[::1]": false, "a#b#c": false, ":x": false, "1:2": false, "http:": false, "//": false,
		"a b": false, "%4": false, "\u2028": false,
	} {
		require.Equal(t, want, uri.MatchString(s), s)
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{"https://u@[::1]:80/a%41?b#c", "a:b", "//h", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if uri.MatchString(s) {
			require.NotContains(t, s, " ")
			require.LessOrEqual(t, strings.Count(s, "#"), 1)
		}
		if u, err := url.Parse(s); err == nil && *u == (url.URL{Scheme: "https", Host: u.Host, Path: "/x"}) &&
			u.Host != "" && strings.Trim(u.Host, "abcdef.") == "" {
			require.True(t, uri.MatchString(u.String()))
		}
	})
}

func TestJavasRegularExpressions(t *testing.T) {
	for _, c := range []struct {
		expr, text, want string
	}{
		{"^(.*)$", "a\n", "a"},
		{"^(.*)$", "a\r\n", "a"},
		{"^(.*)$", "a\u2028", "a"},
		{"^(a+)$|(b)", "aa\n", "aa"},
		{`(a\$)`, "a$", "a$"},
		{`([$]+)`, "$$", "$$"},
		{"(.+)b", "a\rb", ""},
		{`(a)\z`, "a\n", ""},
		{"CN=(.*?)(?:,|$)", "CN=eve\n", "eve"},
		{"(?i)cn=([^,]+)", "CN=x", "x"},
	} {
		re, err := compileJava(c.expr)
		require.NoError(t, err)
		got := ""
		if m := re.FindStringSubmatch(c.text); m != nil {
			got = m[1]
		}
		require.Equal(t, c.want, got, "%s on %q", c.expr, c.text)
	}
	_, err := compileJava("(?=x)")
	require.Error(t, err, "Go has no look-ahead")
}
