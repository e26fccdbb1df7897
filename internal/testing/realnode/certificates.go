package realnode

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// The names in the certificates of OpenSearch's nodes and of its administrator.
const (
	nodeName  = "realnode-node"
	adminName = "realnode-admin"
	nodeDN    = "CN=" + nodeName
	adminDN   = "CN=" + adminName
)

// clusterCertificates are the certificates that the nodes of an OpenSearch cluster use
// among themselves, and that of its administrator. Clients never see them.
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
