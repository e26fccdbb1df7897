package esrealm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

// check is one of a realm's checks before it verifies the signature.
type check func(h header, c claimsSet, now time.Time) error

// checks returns a realm's checks in their order: typ, issuer, subject,
// audience, alg, the dates and the required claims.
func (r *realm) checks() ([]check, error) {
	subjects, err := r.checkSubject()
	if err != nil {
		return nil, err
	}
	checks := []check{
		r.checkType,
		r.checkIssuer,
		subjects,
		r.checkAudience,
		r.checkAlgorithm,
		r.checkPast("iat", true),
		r.checkExpiry,
	}
	if r.TokenType == IDToken { // an access_token realm does not check these
		checks = append(checks, r.checkPast("nbf", false), r.checkPast("auth_time", false))
	}
	for name, values := range r.RequiredClaims {
		checks = append(checks, checkOneOf(name, values))
	}
	return checks, nil
}

// checkType accepts no typ, JWT in upper or lower case, and in an access_token
// realm at+jwt (RFC 9068), which 8.17 does not know.
func (r *realm) checkType(h header, _ claimsSet, _ time.Time) error {
	accessToken := r.TokenType == AccessToken && !r.lenient && strings.EqualFold(h.typ, "at+jwt")
	if !h.hasType || strings.EqualFold(h.typ, "JWT") || accessToken {
		return nil
	}
	return errors.New("invalid jwt typ header")
}

func (r *realm) checkIssuer(_ header, c claimsSet, _ time.Time) error {
	issuer, ok, err := c.string("iss")
	if err != nil {
		return err
	}
	if !ok || issuer != r.AllowedIssuer {
		return mismatch("iss", ok)
	}
	return nil
}

// checkSubject accepts the listed subjects and those that match a pattern. An
// id_token realm with neither list nor patterns accepts any subject.
func (r *realm) checkSubject() (check, error) {
	patterns := r.AllowedSubjectPatterns
	if r.TokenType == IDToken && len(r.AllowedSubjects)+len(patterns) == 0 {
		patterns = []string{"*"}
	}
	allowed, err := pattern.CompileAll(patterns)
	if err != nil {
		return nil, err
	}
	return func(_ header, c claimsSet, _ time.Time) error {
		subject, ok, err := c.string(r.actualName(c, "sub"))
		if err != nil {
			return err
		}
		if !ok || (!slices.Contains(r.AllowedSubjects, subject) && !allowed.Match(subject)) {
			return mismatch("sub", ok)
		}
		return nil
	}, nil
}

func (r *realm) checkAudience(_ header, c claimsSet, now time.Time) error {
	return checkOneOf(r.actualName(c, "aud"), r.AllowedAudiences)(header{}, c, now)
}

func (r *realm) checkAlgorithm(h header, _ claimsSet, _ time.Time) error {
	if !slices.Contains(r.AllowedSignatureAlgorithms, h.alg) {
		return fmt.Errorf("the signature algorithm %q is not allowed", h.alg)
	}
	return nil
}

// checkPast checks that a date is in the past, within the allowed clock skew.
func (r *realm) checkPast(name string, required bool) check {
	return func(_ header, c claimsSet, now time.Time) error {
		t, ok, err := c.time(name)
		if err != nil {
			return err
		}
		if !ok && required {
			return fmt.Errorf("missing required date claim [%s]", name)
		}
		if ok && !t.Before(now.Add(r.AllowedClockSkew)) {
			return fmt.Errorf("date claim [%s] must be before now", name)
		}
		return nil
	}
}

func (r *realm) checkExpiry(_ header, c claimsSet, now time.Time) error {
	t, ok, err := c.time("exp")
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("missing required date claim [exp]")
	}
	if !t.After(now.Add(-r.AllowedClockSkew)) {
		return errors.New("date claim [exp] must be after now")
	}
	return nil
}

// checkOneOf checks that a claim is one of the values, or a list with one of them.
func checkOneOf(name string, values []string) check {
	return func(_ header, c claimsSet, _ time.Time) error {
		got, ok, err := c.list(name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(got, func(v string) bool { return slices.Contains(values, v) }) {
			return mismatch(name, ok)
		}
		return nil
	}
}

func mismatch(name string, there bool) error {
	if !there {
		return fmt.Errorf("missing required string claim [%s]", name)
	}
	return fmt.Errorf("string claim [%s] does not match the allowed values", name)
}

// actualName returns the claim that stands for sub or aud. It is the fallback
// claim if the realm has one and the token does not have sub or aud itself.
func (r *realm) actualName(c claimsSet, name string) string {
	fallback := map[string]string{"sub": r.FallbackClaims.Sub, "aud": r.FallbackClaims.Aud}[name]
	if fallback == "" || c[name] != nil {
		return name
	}
	return fallback
}
