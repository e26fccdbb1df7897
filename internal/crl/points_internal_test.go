package crl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPoints reads the CRL distribution points of certificates, which come from clients.
func FuzzPoints(f *testing.F) {
	issuer := []byte("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02CA")
	f.Add([]byte("\x30\x0c\x30\x0a\xa0\x08\xa0\x06\x86\x04http"), issuer)
	f.Add([]byte("\x30\x15\x30\x13\xa0\x0d\xa1\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02P1\x81\x02\x05\x60"), issuer)
	f.Add([]byte("\x30\x08\x30\x06\xa2\x04\x86\x02u:"), []byte("no DER"))
	f.Fuzz(func(t *testing.T, value, rawIssuer []byte) {
		for _, point := range readPoints(value, rawIssuer) {
			require.Zero(t, point.reasons&^allReasons)
			for _, name := range point.names {
				require.NotEmpty(t, name)
			}
		}
	})
}

func TestReadReasons(t *testing.T) {
	for bits, want := range map[string]reasonFlags{
		"":             0,
		"\x00":         0,
		"\x07\x80":     0, // the unused bit
		"\x05\x60":     1<<1 | 1<<2,
		"\x07\x9f\x80": allReasons &^ (1<<1 | 1<<2),
		"\x00\xff\xff": allReasons,
	} {
		require.Equal(t, want, readReasons([]byte(bits)), "%x", bits)
	}
}
