package esrealm

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

const (
	defaultClockSkew   = time.Minute
	defaultGracePeriod = time.Minute
	defaultHTTPTimeout = 5 * time.Second
	defaultCacheTTL    = 20 * time.Minute
	defaultCacheSize   = 100_000
)

var (
	hmacAlgorithms = []string{"HS256", "HS384", "HS512"}
	rsaAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	ecAlgorithms   = []string{"ES256", "ES384", "ES512"}
	pkcAlgorithms  = slices.Concat(rsaAlgorithms, ecAlgorithms)
)

// timeClaims and the registered ones cannot be claims of which a value is
// required or which another one stands in for.
var (
	notRequirable   = []string{"iss", "sub", "aud", "exp", "nbf", "iat"}
	registeredNames = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}
)

// withDefaults fills in the defaults that the realm's settings have.
func (r Realm) withDefaults() Realm {
	setDefault(&r.TokenType, IDToken)
	setDefault(&r.AllowedClockSkew, defaultClockSkew)
	setDefault(&r.ClientAuthentication.Type, ClientAuthenticationSharedSecret)
	setDefault(&r.ClientAuthentication.RotationGracePeriod, defaultGracePeriod)
	setDefault(&r.HTTPTimeout, defaultHTTPTimeout)
	setDefault(&r.JWTCache.TTL, defaultCacheTTL)
	setDefault(&r.JWTCache.Size, defaultCacheSize)
	if len(r.AllowedSignatureAlgorithms) == 0 {
		r.AllowedSignatureAlgorithms = []string{"RS256"}
	}
	if r.PopulateUserMetadata == nil {
		r.PopulateUserMetadata = new(true)
	}
	r.AllowedClockSkew = max(r.AllowedClockSkew, 0)
	r.ClientAuthentication.RotationGracePeriod = max(r.ClientAuthentication.RotationGracePeriod, 0)
	return r
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// setting is the full key of a setting of the realm.
func (r *Realm) setting(name string) string {
	return "xpack.security.authc.realms.jwt." + r.Name + "." + name
}

// validate refuses what stops a node from starting.
func (r *Realm) validate() error {
	for _, check := range []func() error{
		r.validateIssuer, r.validateAlgorithms, r.validateSubjects, r.validateClaims,
		r.validateFallbacks, r.validateRequired, r.validateClient, r.validateKeys,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("jwt realm %q: %w", r.Name, err)
		}
	}
	return nil
}

func (r *Realm) validateIssuer() error {
	switch {
	case r.Name == "":
		return errors.New("a realm needs a name")
	case r.AllowedIssuer == "":
		return fmt.Errorf("[%s] must not be empty", r.setting("allowed_issuer"))
	case len(r.AllowedAudiences) == 0 || slices.Contains(r.AllowedAudiences, ""):
		return fmt.Errorf("[%s] must not be empty", r.setting("allowed_audiences"))
	case r.TokenType != IDToken && r.TokenType != AccessToken:
		return fmt.Errorf("invalid value [%s] for [%s], allowed values are [id_token,access_token]", r.TokenType, r.setting("token_type"))
	}
	return nil
}

func (r *Realm) validateAlgorithms() error {
	for _, alg := range r.AllowedSignatureAlgorithms {
		if !slices.Contains(hmacAlgorithms, alg) && !slices.Contains(pkcAlgorithms, alg) {
			return fmt.Errorf("invalid value [%s] for [%s], allowed values are %v",
				alg, r.setting("allowed_signature_algorithms"), slices.Concat(hmacAlgorithms, pkcAlgorithms))
		}
	}
	return nil
}

func (r *Realm) validateSubjects() error {
	if slices.Contains(r.AllowedSubjects, "") {
		return fmt.Errorf("[%s] must not hold an empty subject", r.setting("allowed_subjects"))
	}
	if slices.Contains(r.AllowedSubjectPatterns, "") {
		return fmt.Errorf("[%s] must not hold an empty pattern", r.setting("allowed_subject_patterns"))
	}
	if _, err := pattern.CompileAll(r.AllowedSubjectPatterns); err != nil {
		return fmt.Errorf("[%s]: %w", r.setting("allowed_subject_patterns"), err)
	}
	if r.TokenType == AccessToken && len(r.AllowedSubjects)+len(r.AllowedSubjectPatterns) == 0 {
		return fmt.Errorf("one of [%s] or [%s] must be set for an access_token realm",
			r.setting("allowed_subjects"), r.setting("allowed_subject_patterns"))
	}
	return nil
}

// validateClaims also refuses two things that a node starts with: patterns that
// Go's regular expressions cannot express (such as looking ahead), and patterns
// without a group, which no token would match.
func (r *Realm) validateClaims() error {
	if r.Claims.Principal == "" {
		return fmt.Errorf("[%s] is required", r.setting("claims.principal"))
	}
	for _, c := range r.claimSettings() {
		if c.pattern == "" {
			continue
		}
		key := r.setting("claim_patterns." + c.name)
		if c.claim == "" {
			return fmt.Errorf("[%s] cannot be set unless [%s] is", key, r.setting("claims."+c.name))
		}
		re, err := compileJava(c.pattern)
		if err != nil {
			return fmt.Errorf("[%s]: %w", key, err)
		}
		if re.NumSubexp() == 0 {
			return fmt.Errorf("[%s] needs a group, which is the value", key)
		}
	}
	return nil
}

type claimSetting struct{ name, claim, pattern string }

func (r *Realm) claimSettings() []claimSetting {
	return []claimSetting{
		{"principal", r.Claims.Principal, r.ClaimPatterns.Principal},
		{"groups", r.Claims.Groups, r.ClaimPatterns.Groups},
		{"name", r.Claims.Name, r.ClaimPatterns.Name},
		{"mail", r.Claims.Mail, r.ClaimPatterns.Mail},
		{"dn", r.Claims.DN, r.ClaimPatterns.DN},
	}
}

func (r *Realm) validateFallbacks() error {
	for name, claim := range map[string]string{"sub": r.FallbackClaims.Sub, "aud": r.FallbackClaims.Aud} {
		key := r.setting("fallback_claims." + name)
		switch {
		case claim == "":
		case r.TokenType != AccessToken:
			return fmt.Errorf("[%s] is not allowed for an id_token realm", key)
		case slices.Contains(registeredNames, claim):
			return fmt.Errorf("[%s] cannot be the registered claim [%s]", key, claim)
		}
	}
	return nil
}

func (r *Realm) validateRequired() error {
	for name, values := range r.RequiredClaims {
		key := r.setting("required_claims." + name)
		if slices.Contains(notRequirable, name) {
			return fmt.Errorf("[%s]: a required claim cannot be one of %v", key, notRequirable)
		}
		if len(values) == 0 {
			return fmt.Errorf("[%s] must not be empty", key)
		}
	}
	return nil
}

func (r *Realm) validateClient() error {
	typeKey, secretKey := r.setting("client_authentication.type"), r.setting("client_authentication.shared_secret")
	secret := strings.TrimSpace(r.ClientAuthentication.SharedSecret) != ""
	switch r.ClientAuthentication.Type {
	case ClientAuthenticationSharedSecret:
		if !secret {
			return fmt.Errorf("[%s] is required where [%s] is [shared_secret], which is its default", secretKey, typeKey)
		}
	case ClientAuthenticationNone:
		if secret {
			return fmt.Errorf("[%s] is not supported where [%s] is [none]", secretKey, typeKey)
		}
	default:
		return fmt.Errorf("invalid value [%s] for [%s], allowed values are [none,shared_secret]", r.ClientAuthentication.Type, typeKey)
	}
	return nil
}

func (r *Realm) validateKeys() error {
	if r.PKCJWKSetPath == "" && r.HMACKey == "" && r.HMACJWKSet == "" {
		return fmt.Errorf("at least one of [%s], [%s] or [%s] must be set",
			r.setting("hmac_key"), r.setting("hmac_jwkset"), r.setting("pkc_jwkset_path"))
	}
	if r.HMACKey != "" && r.HMACJWKSet != "" {
		return fmt.Errorf("[%s] and [%s] are not allowed at the same time", r.setting("hmac_key"), r.setting("hmac_jwkset"))
	}
	if !strings.HasPrefix(r.PKCJWKSetPath, "http") {
		return nil
	}
	key := r.setting("pkc_jwkset_path")
	if !strings.HasPrefix(r.PKCJWKSetPath, "https") {
		return fmt.Errorf("[%s] must not be an http URL; only https is supported", key)
	}
	u, err := url.Parse(r.PKCJWKSetPath)
	if err != nil {
		return fmt.Errorf("[%s]: %w", key, err)
	}
	if u.Hostname() == "" {
		return fmt.Errorf("[%s] needs a host, which %q has not", key, r.PKCJWKSetPath)
	}
	return nil
}
