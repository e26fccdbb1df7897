package esjwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

// TestARememberedRefusalKeepsNoCertificate, and so none of the handshake that it came in: anybody can
// send some.
func TestARememberedRefusalKeepsNoCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := func(name string) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return cert
	}
	id, err := newIdentifier(profile{}, nil, 100)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate("authority"))
	var sent []weak.Pointer[x509.Certificate]
	for range 10 {
		cert := certificate(strings.Repeat("eve", 10_000))
		sent = append(sent, weak.Make(cert))
		chain := []*x509.Certificate{cert}
		_, err := id.decide(t.Context(), connectionOf(chain), chain, pool, nil, time.Now())
		var refusal *Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, string(unverified), refusal.Reason)
		require.LessOrEqual(t, len(refusal.cause.Error()), maxText+len("…"))
	}
	require.Equal(t, 10, id.outcomes.refusals.Len())
	runtime.GC()
	runtime.GC()
	alive := 0
	for _, cert := range sent {
		if cert.Value() != nil {
			alive++
		}
	}
	require.LessOrEqual(t, alive, 1, "the last one may still be in a register")
	runtime.KeepAlive(id)
}
