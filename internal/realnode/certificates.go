package realnode

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
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
	ca, nodeCert, nodeKey []byte
	admin                 tls.Certificate
}

func newClusterCertificates() (clusterCertificates, error) {
	var made clusterCertificates
	ca := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "realnode cluster CA"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caCert, _, caKey, err := issue(ca, ca, nil)
	if err != nil {
		return made, err
	}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	nodeCert, nodeKey, _, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: nodeName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: both,
	}, ca, caKey)
	if err != nil {
		return made, err
	}
	adminCert, adminKey, _, err := issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: adminName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: both[1:],
	}, ca, caKey)
	if err != nil {
		return made, err
	}
	made.ca, made.nodeCert, made.nodeKey = caCert, nodeCert, nodeKey
	made.admin, err = tls.X509KeyPair(adminCert, adminKey)
	return made, err
}

// issue signs the template with the parent's key, or with its own where that is
// nil, and returns the certificate and its key in PEM.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (certificate, privateKey []byte, key *ecdsa.PrivateKey, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(7 * 24 * time.Hour)
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("make the certificate of %s: %w", template.Subject, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	privateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return certificate, privateKey, key, nil
}
