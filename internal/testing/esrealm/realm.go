package esrealm

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// realm is a running JWT realm.
type realm struct {
	Realm
	lenient bool
	roles   func(*userData) []string

	before []check // the checks before the signature is verified
	hmac   *keySet
	pkc    *keyLoader
	cache  jwtCache
	secret atomic.Pointer[sharedSecret]

	principal, groups, name, mail, dn *claimParser
}

var (
	hmacAlgorithms = []string{"HS256", "HS384", "HS512"}
	rsaAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	ecAlgorithms   = []string{"ES256", "ES384", "ES512"}
	pkcAlgorithms  = slices.Concat(rsaAlgorithms, ecAlgorithms)
)

// newRealm makes a realm and fetches its JWK set.
func newRealm(settings Realm, n *Node) (*realm, error) {
	r := &realm{Realm: settings.withDefaults(), lenient: n.lenient(), roles: n.mapRoles}
	var err error
	if r.before, err = r.checks(); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	if err := r.compileClaims(); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	r.secret.Store(&sharedSecret{current: r.ClientAuthentication.SharedSecret})
	if err := r.loadKeys(n.config.ConfigDir); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	return r, nil
}

// withDefaults returns the realm with the defaults of its settings.
func (r Realm) withDefaults() Realm {
	setDefault(&r.TokenType, IDToken)
	setDefault(&r.AllowedClockSkew, time.Minute)
	setDefault(&r.ClientAuthentication.Type, ClientAuthenticationSharedSecret)
	setDefault(&r.ClientAuthentication.RotationGracePeriod, time.Minute)
	if len(r.AllowedSignatureAlgorithms) == 0 {
		r.AllowedSignatureAlgorithms = []string{"RS256"}
	}
	if r.PopulateUserMetadata == nil {
		r.PopulateUserMetadata = new(true)
	}
	r.AllowedClockSkew = max(r.AllowedClockSkew, 0)
	return r
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func (r *realm) compileClaims() (err error) {
	for _, c := range []struct {
		parser               **claimParser
		name, claim, pattern string
	}{
		{&r.principal, "principal", r.Claims.Principal, r.ClaimPatterns.Principal},
		{&r.groups, "groups", r.Claims.Groups, r.ClaimPatterns.Groups},
		{&r.name, "name", r.Claims.Name, r.ClaimPatterns.Name},
		{&r.mail, "mail", r.Claims.Mail, r.ClaimPatterns.Mail},
		{&r.dn, "dn", r.Claims.DN, r.ClaimPatterns.DN},
	} {
		p := &claimParser{realm: r, setting: "claims." + c.name, claim: c.claim}
		if c.pattern != "" {
			if p.pattern, err = compileJava(c.pattern); err != nil {
				return fmt.Errorf("claim_patterns.%s: %w", c.name, err)
			}
		}
		*c.parser = p
	}
	return nil
}

func (r *realm) loadKeys(dir string) error {
	var err error
	switch {
	case r.HMACKey != "":
		r.hmac = &keySet{keys: []*jwk{{key: []byte(r.HMACKey)}}}
	case r.HMACJWKSet != "":
		if r.hmac, err = parseKeySet([]byte(r.HMACJWKSet), r.AllowedSignatureAlgorithms, r.lenient); err != nil {
			return fmt.Errorf("hmac_jwkset: %w", err)
		}
	}
	if r.PKCJWKSetPath == "" {
		return nil
	}
	allowed := slices.DeleteFunc(slices.Clone(r.AllowedSignatureAlgorithms), func(alg string) bool {
		return !slices.Contains(pkcAlgorithms, alg)
	})
	r.pkc = &keyLoader{
		fetch:   r.fetcher(dir),
		parse:   func(b []byte) (*keySet, error) { return parseKeySet(b, allowed, r.lenient) },
		changed: r.cache.clear,
		sticks:  !strings.HasPrefix(r.PKCJWKSetPath, "https"),
	}
	if err := r.pkc.reload(context.Background()); err != nil {
		return fmt.Errorf("pkc_jwkset_path %q: %w; it must answer before the node starts", r.PKCJWKSetPath, err)
	}
	return nil
}

// authenticate returns the user of a token. It checks the client's secret before
// it looks into the cache, and the claims before the signature. So the realm
// fetches its JWK set only for a token whose claims are good.
func (r *realm) authenticate(ctx context.Context, t *token, clientSecret string) (*user, error) {
	if err := r.authenticateClient(clientSecret); err != nil {
		return nil, err
	}
	now := time.Now()
	if u, ok := r.cache.get(t.hash, now.Add(-r.AllowedClockSkew)); ok {
		return u, nil
	}
	for _, check := range r.before {
		if err := check(t.header, t.claims, now); err != nil {
			return nil, err
		}
	}
	if err := r.verify(ctx, t); err != nil {
		return nil, err
	}
	generation := r.cache.current()
	u, err := r.user(t.claims)
	if err != nil {
		return nil, err
	}
	if !r.NoJWTCache {
		expiry, _, _ := t.claims.time("exp") // which has been checked
		r.cache.put(generation, t.hash, cachedUser{u, expiry})
	}
	return u, nil
}

// verify verifies the signature. If that fails, it fetches the JWK set, and tries
// again if the set has changed.
func (r *realm) verify(ctx context.Context, t *token) error {
	if slices.Contains(hmacAlgorithms, t.header.alg) {
		if r.hmac == nil {
			return fmt.Errorf("algorithm %s, but no HMAC key is configured", t.header.alg)
		}
		return r.hmac.verify(t)
	}
	if r.pkc == nil {
		return fmt.Errorf("algorithm %s, but no JWK set is configured", t.header.alg)
	}
	keys := r.pkc.current()
	err := keys.verify(t)
	if err == nil {
		return nil
	}
	if rerr := r.pkc.reload(ctx); rerr != nil {
		return rerr
	}
	if fresh := r.pkc.current(); fresh.hash != keys.hash {
		return fresh.verify(t)
	}
	return err
}

// sharedSecret is the secret that a client must know. The previous one works too,
// until some time.
type sharedSecret struct {
	current, previous string
	until             time.Time
}

func (r *realm) setSharedSecret(secret string) {
	r.secret.Store(&sharedSecret{
		current:  secret,
		previous: r.secret.Load().current,
		until:    time.Now().Add(r.ClientAuthentication.RotationGracePeriod),
	})
}

func (r *realm) authenticateClient(secret string) error {
	if r.ClientAuthentication.Type == ClientAuthenticationNone {
		return nil
	}
	s := r.secret.Load()
	isIt := func(want string) bool { return subtle.ConstantTimeCompare([]byte(secret), []byte(want)) == 1 }
	switch {
	case strings.TrimSpace(secret) == "":
		return errors.New("client authentication failed: the shared secret is missing")
	case isIt(s.current), isIt(s.previous) && time.Now().Before(s.until):
		return nil
	}
	return errors.New("client authentication failed: the shared secret is wrong")
}
