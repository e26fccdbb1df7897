package esrealm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fetchTimeout is the default of http.connect_timeout,
// http.connection_read_timeout and http.socket_timeout.
const fetchTimeout = 5 * time.Second

// fetcher returns a function that reads the realm's JWK set from its file or URL.
func (r *realm) fetcher(dir string) func(context.Context) ([]byte, error) {
	if !strings.HasPrefix(r.PKCJWKSetPath, "https") {
		path := r.PKCJWKSetPath
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return func(context.Context) ([]byte, error) { return os.ReadFile(path) }
	}
	client := &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialAsJava(ctx, network, address, r.SSL.CertificateAuthorities)
			},
			DisableCompression: true,
		},
	}
	return func(ctx context.Context) ([]byte, error) { return get(ctx, client, r.PKCJWKSetPath) }
}

// get fetches a URL. It sends no headers but Host and User-Agent and follows
// redirects. Any other status than 200 is an error.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "esrealm")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	return io.ReadAll(res.Body)
}

// dialAsJava makes a TLS connection as Java does: without ALPN, and without the
// server's name if the host is an address or a name without a dot, such as
// localhost.
func dialAsJava(ctx context.Context, network, address string, roots *x509.CertPool) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	if !strings.Contains(host, ".") {
		// Go verifies only a name that it also sends.
		config.ServerName = ""
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyServer(state, host, roots) }
	}
	plain, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, config) // a tls.Dialer would add the server's name
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return conn, nil
}

// verifyServer verifies the server's certificate as crypto/tls does.
func verifyServer(state tls.ConnectionState, host string, roots *x509.CertPool) error {
	options := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}
