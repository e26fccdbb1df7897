package identity

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Settings are the settings of the handler that are about identities. The handler describes each of them.
type Settings struct {
	Issuer    string
	Audience  []string
	TokenType string
	Lifetime  time.Duration

	Principal       string
	UsernamePattern string
	UsernameRDN     string

	Groups        []string
	GroupPatterns []string
	RoleMapping   string

	NameCharacters string

	PrincipalClaim string
	AudienceClaim  string
	GroupsClaim    string
	Claims         map[string]any
	RequiredClaims []string
	Confirmation   bool
	TokenID        bool

	Deny     []string
	CRL      []string
	CRLStale string

	// NoToken is set if clients go on with another credential than a token. Then the settings of tokens are not used.
	NoToken bool

	Headers       map[string]string
	MaxHeaderSize int
}

const (
	idToken     = "id_token"
	accessToken = "access_token"

	crlStaleRefuse = "refuse"
	crlStaleAllow  = "allow"

	defaultPrincipal = "{cert.cn}"
	defaultGroups    = "{cert.o}"
	groupsOff        = "off"

	// DefaultUsernamePattern is the PKI realm's default of username_pattern.
	DefaultUsernamePattern = "CN=(.*?)(?:,|$)"
)

// SetDefaults sets the defaults of the settings that are left out.
func (s *Settings) SetDefaults() {
	setting.SetDefault(&s.TokenType, idToken)
	setting.SetDefault(&s.CRLStale, crlStaleRefuse)
	setting.SetDefault(&s.NameCharacters, nameCharactersSafe)
	setting.SetDefault(&s.PrincipalClaim, "sub")
	setting.SetDefault(&s.AudienceClaim, "aud")
	setting.SetDefault(&s.GroupsClaim, "roles")
	s.Lifetime = cmp.Or(s.Lifetime, timing.DefaultLifetime)
	s.MaxHeaderSize = cmp.Or(s.MaxHeaderSize, headersize.Default)
}

// Compile compiles the settings. Call [Settings.SetDefaults] before. An error is a [setting.Error] with the name of
// the setting that is wrong.
func (s *Settings) Compile(resolve setting.Resolver) (*Profile, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Profile{settings: *s}
	var err error
	if !s.NoToken {
		if p.issuer, p.fixed, err = s.fixedClaims(resolve); err != nil {
			return nil, err
		}
	}
	if p.principal, err = s.compilePrincipal(resolve); err != nil {
		return nil, err
	}
	if p.groups, err = s.compileGroups(resolve); err != nil {
		return nil, err
	}
	if p.principalClaims, err = s.principalClaims(); err != nil {
		return nil, err
	}
	if err := s.checkClaimNames(p.principalClaims); err != nil {
		return nil, err
	}
	if err := p.compileClaims(resolve); err != nil {
		return nil, err
	}
	if p.headers, err = s.compileHeaders(resolve); err != nil {
		return nil, err
	}
	return p, nil
}

// check checks the settings whose value is a word or a number.
func (s *Settings) check() error {
	if err := headersize.Check(s.MaxHeaderSize); err != nil {
		return setting.In("max_header_size", err)
	}
	if err := s.checkNameCharacters(); err != nil {
		return err
	}
	if s.Lifetime < timing.MinLifetime || s.Lifetime > timing.MaxLifetime {
		return setting.In("lifetime", fmt.Errorf("use %s to %s, not %s",
			setting.ShortDuration(timing.MinLifetime), setting.ShortDuration(timing.MaxLifetime),
			setting.ShortDuration(s.Lifetime)))
	}
	if s.CRLStale != crlStaleRefuse && s.CRLStale != crlStaleAllow {
		return setting.In("crl_stale", fmt.Errorf("%q: use refuse or allow", s.CRLStale))
	}
	if s.CRLStale != crlStaleRefuse && len(s.CRL) == 0 {
		return setting.In("crl_stale", errors.New("there is no revocation list that it could be about: "+
			"add a line `crl <file|url>`"))
	}
	return nil
}

// checkStaticText checks a template without placeholders of the certificate, whose value is the same for every client.
func checkStaticText(t template) error {
	if !t.isStatic() {
		return nil
	}
	if values, err := t.values(nil); err != nil || !cleanText(values[0]) {
		return errors.New("a value is empty or has control characters in it")
	}
	return nil
}

// staticText returns the value of a setting that can have {env.*} and {file.*} in it, but no other placeholders.
func staticText(s string, resolve setting.Resolver) (string, error) {
	if strings.Contains(s, "{http.") {
		return "", fmt.Errorf("%s has a placeholder of the request: it must be the same for every client; "+
			"use text, {env.*} or {file.*}", setting.Quoted(s))
	}
	t, err := parseTemplate(s, false, resolve)
	if err != nil {
		return "", err
	}
	if !t.isStatic() {
		return "", fmt.Errorf("%s has a {cert.*} placeholder: it must be the same for every client", setting.Quoted(s))
	}
	values, err := t.values(nil)
	if err != nil {
		return "", err
	}
	if !cleanText(values[0]) {
		return "", fmt.Errorf("%s is empty or has control characters in it", setting.Quoted(s))
	}
	return values[0], nil
}
