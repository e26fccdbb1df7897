package realnode

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// The names by which OpenSearch knows its nodes and its administrator.
const (
	nodeName  = "realnode-node"
	adminName = "realnode-admin"
	nodeDN    = "CN=" + nodeName
	adminDN   = "CN=" + adminName
)

// clusterCertificates are what an OpenSearch cluster uses among its nodes and
// for its administrator. Clients never see them.
type clusterCertificates struct {
	ca    []byte
	node  pki.Pair
	admin tls.Certificate
}

func newClusterCertificates() clusterCertificates {
	ca := pki.NewCA("realnode cluster CA")
	return clusterCertificates{
		ca: ca.PEM(),
		node: ca.Issue(&x509.Certificate{
			Subject:     pkix.Name{CommonName: nodeName},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}),
		admin: ca.Client(adminName).TLS,
	}
}
