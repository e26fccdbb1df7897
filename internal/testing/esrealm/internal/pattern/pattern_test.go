package pattern

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes     []string
		no      []string
	}{
		{"alice", []string{"alice"}, []string{"alic", "alicea", "Alice", ""}},
		{"svc-*", []string{"svc-", "svc-a", "svc-\n"}, []string{"svc", "xsvc-a"}},
		{"*", []string{"", "x"}, nil},
		{"a?c", []string{"abc", "aéc", "a😀c"}, []string{"ac", "abbc"}},
		{`a\*c`, []string{"a*c"}, []string{"abc"}},
		{`a\`, []string{`a\`}, []string{"a"}},
		{"", []string{""}, []string{"x"}},
		{"/x[0-9]+/", []string{"x1", "x42"}, []string{"x", "x1y", "ax1"}},
		{"/a|b.c/", []string{"a", "bxc"}, []string{"b", "axc"}},
		{"/(ab)*/", []string{"", "ab", "abab"}, []string{"aba"}},
		{"/a{2}b{1,2}c{1,}/", []string{"aabc", "aabbccc"}, []string{"abc", "aabbbc", "aab"}},
		{"/a?b/", []string{"b", "ab"}, []string{"aab"}},
		{"/~(([.]|ilm-history-).*)/", []string{"logs", "ilm"}, []string{".security", "ilm-history-1"}},
		{"/~a/", []string{"", "b", "aa"}, []string{"a"}},
		{"/nine~(-9.*)/", []string{"nine", "nine-8", "nine\n"}, []string{"nine-9", "nine-9x", "eight"}},
		{`/a\.b/`, []string{"a.b"}, []string{"axb"}},
		{`/[^a-c\d]x/`, []string{"dx"}, []string{"ax", "1x"}},
		{`/\w+\D[\S]/`, []string{"a_1-x"}, []string{"a-", "ab9 "}},
		{`/[a-]/`, []string{"a", "-"}, []string{"b"}},
		{"//", []string{""}, []string{"x"}},
		{"/()a/", []string{"a"}, nil},
	} {
		p, err := Compile(c.pattern)
		require.NoError(t, err, c.pattern)
		for _, s := range c.yes {
			require.True(t, p.Match(s), "%s matches %q", c.pattern, s)
		}
		for _, s := range c.no {
			require.False(t, p.Match(s), "%s does not match %q", c.pattern, s)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, s := range []string{
		"/", "/a", "/a(/", "/a)/", "/[a/", "/a{2,1}/", "/a{99999}/", `/\/`, "/[z-a]/",
		"/a&b/", `/"a"/`, "/<1-2>/", "/@/", "/#/", "/a*~b/", "/~a~b/", "/(~a)/", "\xb2", "/\xb2/",
	} {
		_, err := Compile(s)
		require.Error(t, err, s)
	}
}

func TestAnEmptyListMatchesNothing(t *testing.T) {
	p, err := CompileAll(nil)
	require.NoError(t, err)
	require.False(t, p.Match(""))
	require.False(t, p.Match("a"))
}

func TestIsPattern(t *testing.T) {
	for s, want := range map[string]bool{
		"a*": true, "/a/": true, "//": true, "/": false, "a?": false, "a": false, `a\b`: false,
	} {
		require.Equal(t, want, IsPattern(s), s)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"/~(a|b)/", `/[^\d]x{2}/`, "a*?\\", "\xb2*"} {
		f.Add(s, "text")
	}
	f.Fuzz(func(_ *testing.T, s, text string) {
		if len(s) > 16 || len(text) > 16 {
			return
		}
		if p, err := Compile(s); err == nil {
			p.Match(text)
		}
	})
}
