package delegatepki

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// spare is how long before its end a token is given up: a request takes its time.
const spare = 30 * time.Second

// ordered returns the certificates that lead from the first to its authority, each followed by its issuer. Elasticsearch
// takes no others, and a client may send them in any order, and some that lead nowhere.
func ordered(sent []*x509.Certificate) []*x509.Certificate {
	chain := sent[:1:1]
	for {
		issuer := issuerOf(chain, sent)
		if issuer == nil {
			return chain
		}
		chain = append(chain, issuer)
	}
}

// issuerOf returns the issuer of the last certificate of a chain, or nil. Of several with its name it is the one that has
// signed: an authority that got another key has two certificates. One that has signed itself has no other issuer.
func issuerOf(chain, sent []*x509.Certificate) *x509.Certificate {
	var named *x509.Certificate
	last := chain[len(chain)-1]
	if bytes.Equal(last.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(last) == nil {
		return nil
	}
	for _, c := range sent {
		switch {
		case !bytes.Equal(c.RawSubject, last.RawIssuer) || slices.Contains(chain, c):
		case last.CheckSignatureFrom(c) == nil:
			return c
		case named == nil:
			named = c
		}
	}
	return named
}

// question asks for a token for a client's certificates.
func question(user cluster.User, sent []*x509.Certificate) cluster.Question {
	chain := ordered(sent)
	encoded := make([]string, len(chain))
	for i, certificate := range chain {
		encoded[i] = base64.StdEncoding.EncodeToString(certificate.Raw)
	}
	return cluster.Question{
		Method: http.MethodPost,
		Path:   "/_security/delegate_pki",
		Header: user.Header(),
		Body:   map[string]any{"x509_certificate_chain": encoded},
	}
}

// parseToken reads the answer. notAfter is when the client's certificate ends.
func parseToken(answer *cluster.Answer, notAfter int64) (*credential.Credential, error) {
	var body struct {
		AccessToken string `json:"access_token"`
		Type        string `json:"type"`
		ExpiresIn   int64  `json:"expires_in"` // in seconds
	}
	if err := answer.Decode(&body); err != nil {
		return nil, err
	}
	switch {
	case body.AccessToken == "", strings.ContainsFunc(body.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the cluster answered without an access token that a header can carry")
	case !strings.EqualFold(body.Type, "Bearer"):
		return nil, errors.New("the cluster answered with a token of another type than Bearer")
	case body.ExpiresIn <= 0 || body.ExpiresIn > int64(24*time.Hour/time.Second):
		return nil, errors.New("the cluster answered with a token whose expires_in makes no sense")
	}
	now := time.Now()
	life := time.Duration(body.ExpiresIn) * time.Second
	until := now.Add(life - min(spare, life/4)).Unix()
	return &credential.Credential{
		Authorization: "Bearer " + body.AccessToken,
		Until:         min(until, notAfter),
		RenewAt:       min(now.Add(life/2).Unix(), notAfter),
	}, nil
}
