package esrealm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/internal/pattern"
)

// check is one of the checks that a realm makes before it looks at the
// signature.
type check func(h header, c claimsSet, now time.Time) error

// checks builds a realm's checks in their order: typ, issuer, subject,
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
	if r.TokenType == IDToken { // an access_token realm does not look at these
		checks = append(checks, r.checkPast("nbf", false), r.checkPast("auth_time", false))
	}
	for name, values := range r.RequiredClaims {
		checks = append(checks, checkOneOf(name, values))
	}
	return checks, nil
}

// checkType takes JWT in any case and none at all, and in an access_token
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

// checkSubject takes the subjects that are listed or match a pattern. An
// id_token realm with neither takes any.
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

// checkPast checks a date that must be before now, with the skew.
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

// checkOneOf checks a claim that must be, or hold, one of the values.
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

// actualName is the claim to look at instead of sub or aud: the fallback claim
// of an access_token realm where the claim itself is absent.
func (r *realm) actualName(c claimsSet, name string) string {
	fallback := map[string]string{"sub": r.FallbackClaims.Sub, "aud": r.FallbackClaims.Aud}[name]
	if fallback == "" || c[name] != nil {
		return name
	}
	return fallback
}
