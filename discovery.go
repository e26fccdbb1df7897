package esjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// discoveryPath is where clients look for an OpenID Provider document (OpenID Connect Discovery 1.0 section 4).
const discoveryPath = "/.well-known/openid-configuration"

// openIDConfiguration is an OpenID Provider document (OpenID Connect Discovery 1.0 section 3). It has the members that
// the standard requires, although this provider gives a token to nobody who asks for one.
type openIDConfiguration struct {
	Issuer                 string                    `json:"issuer"`
	AuthorizationEndpoint  string                    `json:"authorization_endpoint"`
	JWKSURI                string                    `json:"jwks_uri"`
	ResponseTypesSupported []string                  `json:"response_types_supported"`
	SubjectTypesSupported  []string                  `json:"subject_types_supported"`
	SigningAlgorithms      []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
	ClaimsSupported        []string                  `json:"claims_supported"`
}

// renderDiscovery renders the document of an issuer, whose JWKS is at jwksPath.
func renderDiscovery(issuer, jwksPath string, algorithms []jose.SignatureAlgorithm) (document, error) {
	body, err := json.Marshal(openIDConfiguration{
		Issuer: issuer,
		// There is no such endpoint, but the member is required.
		AuthorizationEndpoint:  "urn:caddy:elasticsearch_jwt:client_certificate",
		JWKSURI:                issuer + jwksPath,
		ResponseTypesSupported: []string{"id_token"},
		SubjectTypesSupported:  []string{"public"},
		SigningAlgorithms:      algorithms,
		ClaimsSupported:        []string{"iss", "sub", "aud", "iat", "nbf", "exp"},
	})
	if err != nil {
		return document{}, fmt.Errorf("rendering the OpenID configuration: %w", err)
	}
	return newDocument(body), nil
}

// checkDiscoveryIssuer checks that a client can find the document with only the issuer.
func checkDiscoveryIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("write the issuer, an https URL such as https://es.example.com")
	}
	if u.Path != "" || strings.HasSuffix(issuer, "/") {
		return errors.New("the issuer must not have a path here, nor end with a slash: " +
			"readers look for the document at its root")
	}
	return nil
}
