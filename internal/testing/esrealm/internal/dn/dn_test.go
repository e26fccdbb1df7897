package dn

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"  ":                         "",
		"CN=Alice,OU=Eng":            "cn=alice,ou=eng",
		"cn = Alice ; ou= Big  Eng ": "cn=alice,ou=big eng",
		"CN=b+A=a,dc=x":              "a=a+cn=b,dc=x",
		"cn=x+cn=X":                  "cn=x",
		`cn="Doe, John",ou=x`:        `cn=doe\, john,ou=x`,
		`cn=Doe\, John`:              `cn=doe\, john`,
		`cn=a\2cb`:                   `cn=a\,b`,
		"cn=#4142":                   "cn=ab",
		"a=b=c":                      `a=b\=c`,
		"cn=":                        "cn=",
		"cn=,ou=x":                   "cn=,ou=x",
		"cn=é":                       `cn=\c3\a9`,
		`cn=x\ `:                     "cn=x",
		"a b=c":                      "",
		"group name=x":               "",
		"a/b(c)=d":                   "a/b(c)=d",
		`cn=\#x`:                     `cn=\#x`,
	} {
		got, ok := Normalize(in)
		require.Equal(t, want, got, in)
		require.Equal(t, want != "" || in == "" || in == "  ", ok, in)
	}
}

func TestNotANameAtAll(t *testing.T) {
	for _, in := range []string{"admins", "a,b", "=x", ",", "a=b,", "a=b,,c=d", "a=b+", `a="b`, `a="b"c`, `a=b"c`, `a=\`, `a=\0`, "a=#4", "a=#zz", "a;b=c"} {
		_, ok := Normalize(in)
		require.False(t, ok, in)
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"CN=a+B=c,O=\"x,y\"", `a=\2c\#,b=#41`, " x = y ; z=w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, ok := Normalize(s)
		if !ok {
			return
		}
		twice, ok := Normalize(once)
		require.True(t, ok, once)
		require.Equal(t, once, twice)
	})
}
