package esjwt

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/site"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

// explanation is what a handler makes of a certificate: who it is and why, or why it is nobody.
type explanation struct {
	Issuer   string   `json:"issuer"`
	Audience []string `json:"audience"`

	// Trust says what the certificate's chain was checked against.
	Trust string `json:"trust"`

	// Reason and Advice say why the certificate is refused, and Cause the setting or the error
	// behind that; they are empty if it is not.
	Reason string `json:"reason,omitempty"`
	Advice string `json:"advice,omitempty"`
	Cause  string `json:"cause,omitempty"`

	Principal string           `json:"principal,omitempty"`
	Groups    []string         `json:"groups,omitempty"`
	Claims    []explainedClaim `json:"claims,omitempty"`
}

// explainedClaim is a claim of the token, and the setting that it comes from.
type explainedClaim struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

// explain says what the handler would make of a client with this certificate, followed by the
// intermediates that it sends along. It signs nothing.
func (h *Handler) explain(sent []*x509.Certificate, now time.Time) explanation {
	e := explanation{Issuer: h.Issuer, Audience: h.Audience}
	sites := h.server.Of(h)
	pool, err := h.identifier.trustPool()
	var v verified
	switch {
	case err != nil:
		e.Trust = "the handler's own trust_pool is empty"
	case pool != nil:
		e.Trust = "checked against the handler's own trust_pool"
		if v, err = verifyOwn(sent, pool, now); err == nil && len(sites) > 0 && !slices.ContainsFunc(sites, site.Site.Asks) {
			err = refuse(noCertificate, "no client can show it: %s asks for no certificate; set client_auth { mode request }", site.Names(sites))
		}
	default:
		e.Trust, v, err = verifyAt(sites, sent, now)
	}
	if why := cmp.Or(unusableKey(sent[0]), unusableIntermediate(sent)); why != "" {
		err = refuseUnusableKey(why)
	}
	if err != nil {
		return e.refused(err)
	}
	_, who, err := h.identifier.newClient(sent[0], v.chains, now)
	if err != nil {
		return e.refused(err).blaming(h.identifier.revocation, v.chains)
	}
	e.Principal, e.Groups = who.principal, who.groups
	origins := h.origins()
	for _, c := range who.claims {
		if c.Value != nil {
			e.Claims = append(e.Claims, explainedClaim{c.Name, c.Value, origins[c.Name]})
		}
	}
	return e
}

// verifyAt verifies a certificate as the TLS layer does for the sites that a handler is in. It is
// verified if one of them takes it.
func verifyAt(sites []site.Site, sent []*x509.Certificate, now time.Time) (trust string, v verified, err error) {
	if len(sites) == 0 {
		if chainsEnd([][]*x509.Certificate{sent}, sent[0], now) == 0 {
			err = refuseExpired().from(errors.New(strings.Join(datesOfAll(sent, now), "; ")))
		}
		return "not checked: whether the certificate is trusted is for client_auth to say", verified{chains: [][]*x509.Certificate{sent}}, err
	}
	var taken, refused []site.Site
	for _, s := range sites {
		if !s.Verifies() {
			continue
		}
		at, refusal := verifyChains(sent, s.ClientCAs(), "client_auth", now)
		if refusal != nil {
			refused = append(refused, s)
			err = refusal
			continue
		}
		taken, v = append(taken, s), at
	}
	switch {
	case len(taken) > 0 && len(refused) > 0:
		return fmt.Sprintf("checked against the client_auth of %s; that of %s ends the handshake", site.Names(taken), site.Names(refused)), v, nil
	case len(taken) > 0:
		return "checked against the client_auth of " + site.Names(taken), v, nil
	case len(refused) > 0:
		return fmt.Sprintf("checked against the client_auth of %s, which ends the handshake", site.Names(refused)), verified{}, err
	default:
		return "not checked: no client_auth of " + site.Names(sites) + " verifies", verified{}, refuseNobodyVerified()
	}
}

// datesOfAll says which certificates are not valid now, and when they are.
func datesOfAll(sent []*x509.Certificate, now time.Time) []string {
	var faults []string
	for _, cert := range sent {
		faults = append(faults, datesOf(cert, "the certificate of "+nameOf(cert.RawSubject), now)...)
	}
	return faults
}

// blaming names an authority that cannot sign the lists that a certificate is looked for in.
func (e explanation) blaming(r revocation, chains [][]*x509.Certificate) explanation {
	if e.Reason == string(revoked) && len(r.lists) > 0 {
		if why := withoutCRLSign(chains); why != "" {
			e.Cause += "; " + why
		}
	}
	return e
}

// refused says why the certificate is nobody.
func (e explanation) refused(err error) explanation {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		e.Reason, e.Advice = "error", err.Error()
		return e
	}
	e.Reason, e.Advice = refusal.Reason, refusal.Detail
	if refusal.cause != nil {
		e.Cause = refusal.cause.Error()
	}
	return e
}

// origins says of each claim which setting it comes from.
func (h *Handler) origins() map[string]string {
	principal := h.identifier.principal.setting
	origins := map[string]string{
		"iss":            "issuer",
		"sub":            principal,
		h.PrincipalClaim: principal,
		h.AudienceClaim:  "audience",
		h.GroupsClaim:    strings.Join(h.groupSettings(), ", "),
		"cnf":            "confirmation",
	}
	for name, value := range h.Claims {
		origins[name] = claimSetting(name, value)
	}
	return origins
}

// claimSetting is the setting of a claim, as a Caddyfile has it.
func claimSetting(name string, value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprintf("claim %s %v", name, value)
	}
	values := make([]string, len(list))
	for i, v := range list {
		values[i] = fmt.Sprint(v)
	}
	return "claim_list " + name + " " + strings.Join(values, " ")
}

// groupSettings are the settings that groups come from, each with all its values.
func (h *Handler) groupSettings() []string {
	var values, patterns []string
	for _, rule := range h.identifier.groups {
		if rule.pattern == nil {
			values = append(values, rule.source)
		} else {
			patterns = append(patterns, rule.source)
		}
	}
	var settings []string
	add := func(name string, values ...string) {
		if len(values) > 0 {
			settings = append(settings, name+" "+strings.Join(values, " "))
		}
	}
	add("groups", values...)
	add("group_pattern", patterns...)
	if h.RoleMapping != "" {
		add("role_mapping", h.RoleMapping)
	}
	if len(settings) == 0 {
		add("groups", groupsOff)
	}
	return settings
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
