package credential_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestOneCertificateCannotStarveOthers: with delegate_pki, its holder can send chains without end, each of which has a
// plan of its own.
func TestOneCertificateCannotStarveOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene()
		s.latency = 2 * time.Second
		mallory := &x509.Certificate{Raw: []byte("mallory")}
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		for i := range 200 {
			flood.Go(func() {
				c := client(fmt.Sprintf("chain %d", i))
				c.Chain = []*x509.Certificate{mallory}
				_, _ = s.cache.Get(ctx, c, time.Now(), func(*credential.Credential) {})
			})
		}
		time.Sleep(time.Second)
		alice := client("alice")
		alice.Chain = []*x509.Certificate{{Raw: []byte("alice")}}
		began := time.Now()
		_, err := s.get(alice)
		took := time.Since(began)
		stop()
		flood.Wait()
		time.Sleep(time.Hour) // what is left of the flood
		require.NoError(t, err)
		require.Less(t, took, 5*time.Second)
	})
}
