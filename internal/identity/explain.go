package identity

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explanation says who a handler takes the holder of a certificate for, or why it refuses the certificate.
type Explanation struct {
	Issuer   string   `json:"issuer,omitempty"`
	Audience []string `json:"audience,omitempty"`

	// Trust says what the certificate's chain was checked against.
	Trust string `json:"trust"`

	// Reason and Advice say why the certificate is refused, and Cause names the setting or the error that led to that.
	// They are empty if the certificate is not refused.
	Reason string `json:"reason,omitempty"`
	Advice string `json:"advice,omitempty"`
	Cause  string `json:"cause,omitempty"`

	// Passing says that the certificate may be taken again as it is: a revocation list is missing or out of date, a clock
	// may be wrong, or the trust_pool is empty. So it is no reason to take away what the client has.
	Passing bool `json:"-"`

	Principal string           `json:"principal,omitempty"`
	Groups    []string         `json:"groups,omitempty"`
	Claims    []ExplainedClaim `json:"claims,omitempty"`
}

// ExplainedClaim is a claim of the token, and the setting that it comes from.
type ExplainedClaim struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

// Site is a site that the handler is in, with its client_auth.
type Site struct {
	Name     string
	Asks     bool // it asks clients for a certificate
	Verifies bool // it verifies the certificate, against Authorities

	Authorities *x509.CertPool // nil means those of the system
}

// Explain says what happens to a client on the sites that the handler is in. sent has the client's certificate and the
// intermediates that it sends with it. Explain signs nothing.
func (id *Identifier) Explain(sent []*x509.Certificate, sites []Site, now time.Time) Explanation {
	e := Explanation{Issuer: id.profile.settings.Issuer, Audience: id.profile.settings.Audience}
	pool, err := id.trustPool()
	var v verified
	switch {
	case err != nil:
		e.Trust = "the handler's own trust_pool is empty"
	case pool != nil:
		e.Trust = "checked against the handler's own trust_pool"
		v, err = verifyOwn(sent, pool, now.Unix())
		if err == nil && len(sites) > 0 && !slices.ContainsFunc(sites, func(s Site) bool { return s.Asks }) {
			err = refuseNeverAsked(namesOfSites(sites))
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
	_, who, err := id.newClient(sent[0], v.chains, now.Unix())
	if err != nil {
		return e.refused(err).blaming(id.files, v.chains)
	}
	e.Principal, e.Groups = who.principal, who.groups
	if id.profile.settings.NoToken {
		return e
	}
	origins := id.profile.origins()
	for _, c := range who.claims {
		if c.Value != nil {
			e.Claims = append(e.Claims, ExplainedClaim{c.Name, c.Value, origins[c.Name]})
		}
	}
	return e
}

// verifyAt verifies a certificate as the TLS layer of each site does. One site that accepts it is enough.
func verifyAt(sites []Site, sent []*x509.Certificate, now time.Time) (trust string, v verified, err error) {
	if len(sites) == 0 {
		chains := [][]*x509.Certificate{sent}
		if chainsEnd(chains, sent[0], now.Unix()) == 0 {
			err = refuseExpired().From(errors.New(strings.Join(datesOfAll(sent, now), "; ")))
		}
		return "not checked: whether the certificate is trusted is for client_auth to say",
			verified{chains: chains}, err
	}
	var taken, refused []Site
	for _, s := range sites {
		if !s.Verifies {
			continue
		}
		at, refusal := verifyChains(sent, s.Authorities, ofClientAuth(s.Authorities), now.Unix())
		if refusal != nil {
			refused = append(refused, s)
			err = refusal
			continue
		}
		taken, v = append(taken, s), at
	}
	switch {
	case len(taken) > 0 && len(refused) > 0:
		return fmt.Sprintf("checked against the client_auth of %s; that of %s ends the handshake",
			namesOfSites(taken), namesOfSites(refused)), v, nil
	case len(taken) > 0:
		return "checked against the client_auth of " + namesOfSites(taken), v, nil
	case len(refused) > 0:
		return "checked against the client_auth of " + namesOfSites(refused) + ", which ends the handshake",
			verified{}, err
	default:
		return "not checked: no client_auth of " + namesOfSites(sites) + " verifies",
			verified{}, refuseNobodyVerified()
	}
}

func namesOfSites(sites []Site) string {
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// datesOfAll says which of the certificates are not valid now, and when they are valid.
func datesOfAll(sent []*x509.Certificate, now time.Time) []string {
	var faults []string
	for _, cert := range sent {
		faults = append(faults, datesOf(cert, "the certificate of "+nameOf(cert.RawSubject), now)...)
	}
	return faults
}

// blaming adds to an explanation which authority may not sign revocation lists, if that can be the reason.
func (e Explanation) blaming(files *Files, chains [][]*x509.Certificate) Explanation {
	if e.Reason == string(Revoked) && len(files.lists) > 0 {
		if why := withoutCRLSign(chains); why != "" {
			e.Cause += "; " + why
		}
	}
	return e
}

// refused adds to an explanation why the certificate is refused.
func (e Explanation) refused(err error) Explanation {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		e.Reason, e.Advice, e.Passing = "error", err.Error(), true
		return e
	}
	e.Reason, e.Advice, e.Passing = refusal.Reason, refusal.Detail, refusal.passing
	if refusal.cause != nil {
		e.Cause = refusal.cause.Error()
	}
	return e
}

// origins returns for each claim the setting that it comes from.
func (p *Profile) origins() map[string]string {
	s := &p.settings
	principal := p.principal.setting
	origins := map[string]string{
		"iss":            "issuer",
		"sub":            principal,
		s.PrincipalClaim: principal,
		s.AudienceClaim:  "audience",
		s.GroupsClaim:    strings.Join(p.groupSettings(), ", "),
		"cnf":            "confirmation",
	}
	for name, value := range s.Claims {
		origins[name] = claimSetting(name, value)
	}
	return origins
}

// claimSetting returns the setting of a claim, as it is in a Caddyfile.
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

// groupSettings returns the settings that groups come from, each with all its values.
func (p *Profile) groupSettings() []string {
	var values, patterns []string
	for _, rule := range p.groups {
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
	if p.settings.RoleMapping != "" {
		add("role_mapping", p.settings.RoleMapping)
	}
	if len(settings) == 0 {
		add("groups", groupsOff)
	}
	return settings
}
