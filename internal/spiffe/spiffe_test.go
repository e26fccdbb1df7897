package spiffe_test

import (
	"crypto/x509"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/spiffe"
)

func TestIDs(t *testing.T) {
	for _, id := range []string{
		"spiffe://td/a",
		"spiffe://example.org/ns/data/sa/ingest",
		"spiffe://a-b_c.0/A-b_c.0",
		"spiffe://td/...",
		"spiffe://td/.a/a..",
		"spiffe://192.0.2.1/a",
		"spiffe://" + strings.Repeat("d", 255) + "/a",
		"spiffe://td/" + strings.Repeat("a", 2048-len("spiffe://td/")),
	} {
		require.NoError(t, spiffe.CheckID(id), id)
		require.True(t, spiffe.IsID(id))
	}
}

// TestWhatIsNoID (spiffe/go-spiffe#25, bloomberg/vault-auth-spire#10): two programs must not disagree
// about whose name it is.
func TestWhatIsNoID(t *testing.T) {
	for id, want := range map[string]string{
		"":                       "begins with spiffe://",
		"td/a":                   "begins with spiffe://",
		"spiffe:/td/a":           "begins with spiffe://",
		"spiffe:td/a":            "begins with spiffe://",
		"SPIFFE://td/a":          "begins with spiffe://",
		"https://td/a":           "begins with spiffe://",
		" spiffe://td/a":         "begins with spiffe://",
		"spiffe://":              "no trust domain",
		"spiffe:///a":            "no trust domain",
		"spiffe://td":            "no path",
		"spiffe://td/":           "ends with a slash",
		"spiffe://td/a/":         "ends with a slash",
		"spiffe://td//a":         "an empty segment",
		"spiffe://td/./a":        ". or .. as a segment",
		"spiffe://td/a/../admin": ". or .. as a segment",
		"spiffe://td/a/..":       ". or .. as a segment",
		"spiffe://td/%61dmin":    "only letters of ASCII",
		"spiffe://td/%2e%2e/a":   "only letters of ASCII",
		"spiffe://td/a b":        "only letters of ASCII",
		"spiffe://td/a@b":        "only letters of ASCII",
		"spiffe://td/a?b":        "only letters of ASCII",
		"spiffe://td/a#b":        "only letters of ASCII",
		"spiffe://td/ä":          "only letters of ASCII",
		"spiffe://td/a\xff":      "only letters of ASCII",
		"spiffe://td/a\x00":      "only letters of ASCII",
		`spiffe://td\a/b`:        "only lower case letters",
		"spiffe://user@td/a":     "only lower case letters",
		"spiffe://td:8080/a":     "only lower case letters",
		"spiffe://[::1]/a":       "only lower case letters",
		"spiffe://TD.example/a":  "only lower case letters",
		"spiffe://%74d/a":        "only lower case letters",
		"spiffe://td?/a":         "only lower case letters",
		"spiffe://" + strings.Repeat("d", 256) + "/a": "256 bytes, more than 255",
		"spiffe://td/" + strings.Repeat("a", 2048):    "more than 2048",
	} {
		require.ErrorContains(t, spiffe.CheckID(id), want, id)
	}
}

// TestWhatIsMeantAsAnID: such a URI beside a good ID makes the certificate no SVID either.
func TestWhatIsMeantAsAnID(t *testing.T) {
	for _, uri := range []string{"spiffe://td", "SPIFFE://td/a", "spiffe:td/a", "spiffe:"} {
		require.True(t, spiffe.IsID(uri), uri)
	}
	for _, uri := range []string{"", "spiffe", "https://td/spiffe://a", "spiffes://td/a", "ſpiffe://td/a"} {
		require.Error(t, spiffe.CheckID(uri), uri)
	}
	for _, uri := range []string{"", "spiffe", "https://td/spiffe://a", "spiffes://td/a"} {
		require.False(t, spiffe.IsID(uri), uri)
	}
}

// TestAnAuthorityIsNoWorkload (spiffe/spiffe#380).
func TestAnAuthorityIsNoWorkload(t *testing.T) {
	for name, tt := range map[string]struct {
		cert x509.Certificate
		want string
	}{
		"CA:TRUE":     {x509.Certificate{BasicConstraintsValid: true, IsCA: true}, "CA:TRUE"},
		"keyCertSign": {x509.Certificate{KeyUsage: x509.KeyUsageCertSign}, "keyCertSign"},
		"cRLSign":     {x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign}, "cRLSign"},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, spiffe.CheckLeaf(&tt.cert), tt.want) })
	}
	require.NoError(t, spiffe.CheckLeaf(&x509.Certificate{}))
	require.NoError(t, spiffe.CheckLeaf(&x509.Certificate{
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}))
}

// FuzzCheckID: an ID that is taken means the same to whoever reads it as a URI, however it cleans it.
func FuzzCheckID(f *testing.F) {
	for _, id := range []string{
		"spiffe://td/a", "spiffe://td", "spiffe://td/a/../b", "spiffe://td/%61", "spiffe://u@td:1/a?b#c", "SPIFFE://TD/A",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if spiffe.CheckID(id) != nil {
			return
		}
		require.True(t, spiffe.IsID(id))
		u, err := url.Parse(id)
		require.NoError(t, err)
		require.Equal(t, id, u.String())
		require.Equal(t, url.URL{Scheme: "spiffe", Host: u.Host, Path: u.Path}, *u)
		require.NotEmpty(t, u.Host)
		require.Equal(t, strings.ToLower(u.Host), u.Host)
		require.Greater(t, len(u.Path), 1)
		require.Equal(t, path.Clean(u.Path), u.Path)
	})
}
