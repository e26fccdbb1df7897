package x500_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// TestCheckEscapes: what OpenSSL prints is not always what RFC 2253 reads (openssl/openssl#3306).
func TestCheckEscapes(t *testing.T) {
	for _, dn := range []string{
		"", "CN=x", `CN=J\C3\B6rg`, `CN=J\c3\b6rg,O=\C3\96`, `CN=\2A`, `CN=a\,b\+c\"d\\\;\<\>\=`, `CN=\ x\ `, `CN=\#x`,
		`CN="a\"b\\x"`, `CN=\\x`, `CN=\ö`, `CN=x\`, `CN=\C`, `CN=\CG`,
	} {
		require.NoError(t, x500.CheckEscapes(dn), dn)
	}
	for dn, want := range map[string]string{
		`CN=J\F6rg`:         "not UTF-8",
		`CN=\C3\B6\C3`:      "not UTF-8",
		`CN=\C3x`:           "not UTF-8",
		`CN=a,O=\ED\A0\80`:  "not UTF-8",
		`CN=Jo\U0308rg`:     "before the letter U",
		`ST=\xC3\x96st`:     "before the letter x",
		`CN=J\u00f6rg`:      "before the letter u",
		`CN=\\\x`:           "before the letter x",
		`CN=\C3\B6\U0308rg`: "before the letter U",
	} {
		require.ErrorContains(t, x500.CheckEscapes(dn), want, dn)
	}
}

func TestHasWildcard(t *testing.T) {
	for dn, want := range map[string]bool{
		"CN=*,OU=a": true, "CN=svc-*": true, `CN="*"`: true, "CN=*.*.example.com": true, "*,OU=a": true,
		"CN=*.example.com": false, `CN=\2A`: false, `CN=\*`: false, "CN=a": false, "": false,
	} {
		require.Equal(t, want, x500.HasWildcard(dn), dn)
	}
}
