package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// authorities are a trust_pool.
type authorities struct{ *pki.CA }

func (a authorities) CertPool() *x509.CertPool { return a.Pool() }

// From settings to an identifier, and from a connection to a client or a refusal.
func Example() {
	settings := identity.Settings{
		Issuer:   "https://es.example.com",
		Audience: []string{"https://elasticsearch.example.com:9200"},
	}
	settings.SetDefaults()
	profile, err := settings.Compile(setting.Resolve)
	if err != nil {
		panic(err)
	}
	files, err := identity.OpenFiles(&settings, setting.Resolve, zap.NewNop())
	if err != nil {
		panic(err)
	}
	defer files.Close()
	ours, others := pki.NewCA("Acme clients"), pki.NewCA("somebody")
	identifier, err := identity.New(profile, files, authorities{ours}, 1000)
	if err != nil {
		panic(err)
	}
	for _, ca := range []*pki.CA{ours, others} {
		conn := &tls.ConnectionState{
			HandshakeComplete: true,
			PeerCertificates:  []*x509.Certificate{ca.Client("alice", "analysts").Leaf},
		}
		client, _, err := identifier.Identify(context.Background(), conn, "es.example.com", time.Now().Unix())
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(client.Name())
		fmt.Printf("%s\n", client.Claims.Members)
	}
	// Output:
	// alice
	// "iss":"https://es.example.com","aud":["https://elasticsearch.example.com:9200"],"sub":"alice","roles":["analysts"],
	// unverified: the client's certificate does not lead to an authority in the trust_pool of elasticsearch_jwt: use one that its authorities issued, and send the intermediates along
}
