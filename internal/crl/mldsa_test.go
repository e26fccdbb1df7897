//go:build go1.27

package crl_test

import (
	"crypto/mldsa"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// TestAListThatIsSignedWithMLDSA: it is checked like any other, since crypto/x509 knows the algorithm.
func TestAListThatIsSignedWithMLDSA(t *testing.T) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA65())
	require.NoError(t, err)
	ca := newAuthorityWithKey(t, "CA", nil, key)
	entries := revoked(5)
	entries[0].RevocationTime = now
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour), RevokedCertificateEntries: entries,
	}, ca.Certificate, key)
	require.NoError(t, err)
	lists, err := crl.Parse(der)
	require.NoError(t, err)
	require.Equal(t, crl.Revoked, lists.Check(chain(ca.client(t, 5), ca), now).Status)
	require.Equal(t, crl.Good, lists.Check(chain(ca.client(t, 6), ca), now).Status)

	der[len(der)-1] ^= 1
	lists, err = crl.Parse(der)
	require.NoError(t, err)
	require.Equal(t, crl.BadSignature, lists.Check(chain(ca.client(t, 6), ca), now).Status)
}
