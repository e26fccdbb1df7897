package x500_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

func TestAnAttributeTypeIsANameOrANumber(t *testing.T) {
	for text, want := range map[string]x500.OID{
		"CN":                   x500.CommonName,
		"cn":                   x500.CommonName,
		"EMAILADDRESS":         x500.EmailAddress,
		"2.5.4.11":             x500.OrganizationalUnit,
		"1.2.840.113549.1.9.1": x500.EmailAddress,
		"1.3.6.1.4.1.55738.1":  "1.3.6.1.4.1.55738.1",
	} {
		got, err := x500.ParseAttributeType(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "commonName", "2", "2.5.4.x", "OID.2.5.4.3", "2.5.4.3 "} {
		_, err := x500.ParseAttributeType(text)
		require.ErrorContains(t, err, "such as CN", text)
	}
}
