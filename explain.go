package esjwt

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

// explanation is what a handler makes of a certificate.
type explanation = identity.Explanation

// explain says what the handler would make of a client with this certificate, followed by the
// intermediates that it sends along. It signs nothing.
func (h *Handler) explain(sent []*x509.Certificate, now time.Time) explanation {
	var sites []identity.Site
	for _, s := range h.server.Of(h) {
		at := identity.Site{Name: s.String(), Asks: s.Asks(), Verifies: s.Verifies()}
		if at.Verifies {
			at.Authorities = s.ClientCAs()
		}
		sites = append(sites, at)
	}
	return h.identifier.Explain(sent, sites, now)
}

// parseCertificates reads a certificate and its intermediates from PEM, or a certificate from DER.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	content, err := textfile.Decode(content)
	if err != nil {
		return nil, err
	}
	if cert, err := x509.ParseCertificate(content); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue // a private key beside it is none of our business
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file cannot be read, nor would a TLS handshake accept it: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in PEM or DER in it")
	}
	return certs, nil
}

func encodeCertificates(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// explain asks every handler of the configuration about a certificate.
func (a *App) explain(certs []*x509.Certificate, now time.Time) ([]explanation, error) {
	a.mu.Lock()
	handlers := a.handlers
	a.mu.Unlock()
	if len(handlers) == 0 {
		return nil, errNoHandler
	}
	explanations := make([]explanation, len(handlers))
	for i, h := range handlers {
		explanations[i] = h.explain(certs, now)
	}
	return explanations, nil
}

var errNoHandler = errors.New("the configuration has no elasticsearch_jwt handler")

// register makes a handler known to the app, for explain.
func (a *App) register(h *Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handlers = append(a.handlers, h)
}
