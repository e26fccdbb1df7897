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
	version version
	now     func() time.Time
	roles   func(*userData) []string

	before []check // what is checked before the signature
	hmac   *keySet
	pkc    *keyLoader
	cache  *jwtCache
	secret atomic.Pointer[sharedSecret]

	principal, groups, name, mail, dn *claimParser
}

// newRealm starts a realm, which fetches its JWK set: like a node it does not
// start without.
func newRealm(settings Realm, n *Node) (*realm, error) {
	r := &realm{
		Realm:   settings.withDefaults(),
		version: n.version,
		now:     n.config.Now,
		roles:   n.mapRoles,
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	var err error
	if r.before, err = r.checks(); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	if err := r.compileClaims(); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	r.cache = newJWTCache(r.JWTCache)
	r.secret.Store(&sharedSecret{current: r.ClientAuthentication.SharedSecret})
	if err := r.loadKeys(n.config.ConfigDir, n.config.Hosts); err != nil {
		return nil, fmt.Errorf("jwt realm %q: %w", r.Name, err)
	}
	return r, nil
}

func (r *realm) compileClaims() error {
	parsers := make([]*claimParser, 0, 5)
	for _, c := range r.claimSettings() {
		p := &claimParser{realm: r, setting: r.setting("claims." + c.name), claim: c.claim}
		if c.pattern != "" {
			var err error
			if p.pattern, err = compileJava(c.pattern); err != nil {
				return err
			}
		}
		parsers = append(parsers, p)
	}
	r.principal, r.groups, r.name, r.mail, r.dn = parsers[0], parsers[1], parsers[2], parsers[3], parsers[4]
	return nil
}

func (r *realm) loadKeys(dir string, hosts map[string]string) error {
	var err error
	switch {
	case r.HMACKey != "":
		r.hmac = &keySet{keys: []*jwk{{key: []byte(r.HMACKey)}}}
	case r.HMACJWKSet != "":
		if r.hmac, err = parseKeySet([]byte(r.HMACJWKSet), r.AllowedSignatureAlgorithms, r.version.lenient); err != nil {
			return fmt.Errorf("[%s]: %w", r.setting("hmac_jwkset"), err)
		}
	}
	if r.PKCJWKSetPath == "" {
		return nil
	}
	allowed := slices.DeleteFunc(slices.Clone(r.AllowedSignatureAlgorithms), func(a string) bool { return !slices.Contains(pkcAlgorithms, a) })
	r.pkc = &keyLoader{
		fetch:   r.fetcher(dir, hosts),
		parse:   func(b []byte) (*keySet, error) { return parseKeySet(b, allowed, r.version.lenient) },
		changed: r.cache.clear,
		sticks:  !strings.HasPrefix(r.PKCJWKSetPath, "https"),
	}
	if err := r.pkc.reload(context.Background()); err != nil {
		return fmt.Errorf("[%s] %q: %w; it must answer before the node starts", r.setting("pkc_jwkset_path"), r.PKCJWKSetPath, err)
	}
	return nil
}

// authenticate decides about a token. The client's secret comes before the
// cache, and the claims before the signature, so only a token that is good in
// everything else can make the realm fetch its JWK set.
func (r *realm) authenticate(ctx context.Context, t *token, clientSecret string) (*user, error) {
	if err := r.authenticateClient(clientSecret); err != nil {
		return nil, err
	}
	now := r.now()
	if u, ok := r.cache.get(t.hash, now, r.AllowedClockSkew); ok {
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
	u, data, err := r.user(t.claims)
	if err != nil {
		return nil, err
	}
	u.roles = r.roles(data)
	expiry, _, _ := t.claims.time("exp") // there, or the checks had failed
	r.cache.put(generation, &cachedUser{t.hash, u, expiry, now})
	return u, nil
}

// verify checks the signature, and once more with a fresh JWK set if that has
// changed.
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
	if fresh := r.pkc.current(); !fresh.equal(keys) {
		return fresh.verify(t)
	}
	return err
}

// sharedSecret is what a client must know, with the one before it for a while.
type sharedSecret struct {
	current, previous string
	until             time.Time
}

func (r *realm) setSharedSecret(secret string) {
	r.secret.Store(&sharedSecret{
		current:  secret,
		previous: r.secret.Load().current,
		until:    r.now().Add(r.ClientAuthentication.RotationGracePeriod),
	})
}

func (r *realm) authenticateClient(secret string) error {
	if r.ClientAuthentication.Type == ClientAuthenticationNone {
		return nil
	}
	s := r.secret.Load()
	switch {
	case strings.TrimSpace(secret) == "":
		return errors.New("client authentication failed: the shared secret is missing")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(s.current)) == 1:
		return nil
	case s.previous != "" && r.now().Before(s.until) && subtle.ConstantTimeCompare([]byte(secret), []byte(s.previous)) == 1:
		return nil
	}
	return errors.New("client authentication failed: the shared secret is wrong")
}
