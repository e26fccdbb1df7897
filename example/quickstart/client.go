package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
)

// client is a client of the site, with or without a certificate.
type client struct {
	http *http.Client
	site *proxy
}

// newClient makes a client that finds the site although its name is not in the DNS, as curl does with
// --resolve.
func newClient(site *proxy, certificate *tls.Certificate) *client {
	config := &tls.Config{RootCAs: site.ca.Pool(), MinVersion: tls.VersionTLS13}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &client{site: site, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", fmt.Sprint(site.port)))
		},
	}}}
}

// holder makes a client with a certificate from the quickstart's folder.
func holder(site *proxy, name string) (*client, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(site.dir, name+".pem"), filepath.Join(site.dir, name+".key"))
	if err != nil {
		return nil, err
	}
	return newClient(site, &certificate), nil
}

// get sends a GET request and returns the answer's status and body.
func (c *client) get(ctx context.Context, path string, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.site.url(path), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(req.Header, header)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}
