package token_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// FuzzParse: whatever a client sends, what is read does not depend on the signature, nor that on how
// it is spelled.
func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2VzLmV4YW1wbGUuY29tIn0.c2lnbmF0dXJl", "x")
	f.Add("e30.e30.", "~~~~")
	f.Add("e30.e30.e30.e30.e30", "")
	f.Add("..", "=")
	f.Add("bnVsbA.bnVsbA.", "AAA")
	f.Fuzz(func(t *testing.T, compact, stray string) {
		read, ok := token.Parse(compact)
		if !ok {
			return
		}
		header, rest, _ := strings.Cut(compact, ".")
		payload, _, _ := strings.Cut(rest, ".")
		again, ok := token.Parse(header + "." + payload + "." + stray)
		require.True(t, ok)
		require.Equal(t, stray, again.Signature)
		again.Signature = read.Signature
		require.Equal(t, read, again)
		noBase64 := strings.Map(func(r rune) rune {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/", r) {
				return -1
			}
			return r
		}, stray)
		require.True(t, token.SameSignature(read.Signature, read.Signature+noBase64), "what is no base64 is nothing")
	})
}

// TestOneSignatureHasManySpellings, of which nodes take some.
func TestOneSignatureHasManySpellings(t *testing.T) {
	for _, spelled := range []string{"-_8", "+/8", "-_8=", "-~ _.9", "-_8A"} {
		require.Equal(t, spelled != "-_8A", token.SameSignature("-_8", spelled), spelled)
	}
	require.False(t, token.SameSignature("-_8", "-_4"))
}
