package conformance

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
)

// The realms. Each has its own issuer.
const (
	realmTeleport   = "teleport"   // default settings, as in Teleport's guide
	realmAlgorithms = "algorithms" // every algorithm, and every claim mapped
	realmPatterns   = "patterns"   // patterns for every claim, 5 minutes of skew, no metadata
	realmSubjects   = "subjects"   // id_token with allowed subjects and required claims, no skew, no cache
	realmAccess     = "access"     // access_token
	realmFallback   = "fallback"   // access_token with fallback and required claims
	realmHMAC       = "hmac"       // a symmetric key
	realmHMACSet    = "hmacset"    // a set of symmetric keys
	realmSecret     = "secret"     // the client's shared secret
	realmDots       = "dots"       // mapped claims with dots in their names
	realmRotating   = "rotating"   // a JWK set that changes
	realmFile       = "file"       // a JWK set in a file
)

const (
	audience     = "https://elasticsearch.example.com:9200"
	clientSecret = "a shared secret"
	nextSecret   = "the next shared secret"
)

// KeySetFile is the path of the JWK set that is a file.
const KeySetFile = "jwks/keys.json"

func issuer(realm string) string { return "https://" + realm + ".example.com" }

// goodTokens describes a good token for each realm.
var goodTokens = map[string]struct {
	claims   Members
	key, alg string
}{
	realmTeleport:   {good(realmTeleport, nil), keyRSA, "RS256"},
	realmAlgorithms: {good(realmAlgorithms, nil), keyRSA, "RS256"},
	realmPatterns: {good(realmPatterns, Members{
		"sub": "CN=alice,OU=people", "roles": []string{"es-analysts", "other", "es-admins"},
		"name": "name: Alice A.", "mail": "<alice@example.com>", "dn": "DN:CN=Alice,DC=example",
	}), keyRSA, "RS256"},
	realmSubjects: {good(realmSubjects, Members{"token_use": "id", "version": "2.0"}), keyRSA, "RS256"},
	realmAccess:   {good(realmAccess, nil), keyRSA, "RS256"},
	realmFallback: {good(realmFallback, Members{
		"sub": Absent, "aud": Absent, "client_id": "alice", "scope": audience, "token_use": "access",
	}), keyRSA, "RS256"},
	realmHMAC:    {good(realmHMAC, nil), keyHMAC, "HS256"},
	realmHMACSet: {good(realmHMACSet, nil), keyHMAC256, "HS256"},
	realmSecret:  {good(realmSecret, nil), keyRSA, "RS256"},
	realmDots: {
		good(realmDots, Members{"user.name": "alice", "realm_access.roles": []string{"analysts"}}), keyRSA, "RS256",
	},
	realmRotating: {good(realmRotating, nil), keyRSA, "RS256"},
	realmFile:     {good(realmFile, nil), keyRSA, "RS256"},
}

func good(realm string, more Members) Members {
	return merge(Members{
		"iss": issuer(realm), "sub": "alice", "aud": []string{audience},
		"iat": At(-30 * time.Second), "exp": At(10 * time.Minute),
		"roles": []string{"analysts"},
	}, more)
}

// Realms returns the configurations of the realms. Most fetch their JWK sets from
// a [KeyServer].
func Realms(keyServer string, authorities *x509.CertPool) []esrealm.Realm {
	mapped := esrealm.Claims{Principal: "sub", Groups: "roles"}
	all := esrealm.Claims{Principal: "sub", Groups: "roles", Name: "name", Mail: "mail", DN: "dn"}
	none := esrealm.ClientAuthentication{Type: esrealm.ClientAuthenticationNone}
	everyAlgorithm := []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
	}
	realms := []esrealm.Realm{
		{Name: realmTeleport, Claims: mapped},
		{Name: realmAlgorithms, Claims: all, AllowedSignatureAlgorithms: everyAlgorithm},
		{
			Name: realmPatterns, Claims: all, AllowedClockSkew: 5 * time.Minute,
			ClaimPatterns: esrealm.Claims{
				Principal: "(?:CN|cn)=([^,]*)", Groups: "^es-(.*)$",
				Name: "name: (.*)", Mail: "<(.+)>", DN: "^DN:(.*)$",
			},
			PopulateUserMetadata: new(false),
		},
		{
			Name: realmSubjects, Claims: mapped,
			AllowedSubjects: []string{"alice", "bob smith"}, AllowedSubjectPatterns: []string{"svc-*"},
			RequiredClaims:   map[string][]string{"token_use": {"id"}, "version": {"1.0", "2.0"}},
			AllowedClockSkew: -1, NoJWTCache: true,
		},
		{
			Name: realmAccess, TokenType: esrealm.AccessToken, Claims: mapped,
			AllowedSubjects: []string{"alice"}, AllowedSubjectPatterns: []string{"svc-*", "/x[0-9]+/", "u?"},
		},
		{
			Name: realmFallback, TokenType: esrealm.AccessToken, Claims: all,
			FallbackClaims:         esrealm.FallbackClaims{Sub: "client_id", Aud: "scope"},
			AllowedSubjectPatterns: []string{"*"},
			RequiredClaims:         map[string][]string{"token_use": {"access", "service"}},
		},
		{
			Name: realmHMAC, Claims: mapped, HMACKey: string(keys()[keyHMAC].secret),
			AllowedSignatureAlgorithms: everyAlgorithm,
		},
		{
			Name: realmHMACSet, Claims: mapped, AllowedSignatureAlgorithms: []string{"HS256", "HS384", "HS512"},
			HMACJWKSet: jwks(
				jwk(keyHMAC256, nil), jwk(keyHMAC384, map[string]any{"alg": "HS384"}),
				jwk(keyHMAC512, map[string]any{"kid": nil}),
			),
		},
		{
			Name: realmSecret, Claims: mapped,
			ClientAuthentication: esrealm.ClientAuthentication{
				SharedSecret:        clientSecret,
				RotationGracePeriod: 3 * time.Second,
			},
		},
		{Name: realmDots, Claims: esrealm.Claims{Principal: "user.name", Groups: "realm_access.roles"}},
		{Name: realmRotating, Claims: mapped, PKCJWKSetPath: keyServer + rotatingPath},
		{Name: realmFile, Claims: mapped, PKCJWKSetPath: KeySetFile},
	}
	for i := range realms {
		r := &realms[i]
		r.AllowedIssuer = issuer(r.Name)
		r.AllowedAudiences = []string{audience, "other audience"}
		r.SSL.CertificateAuthorities = authorities
		if r.ClientAuthentication.SharedSecret == "" {
			r.ClientAuthentication = none
		}
		if r.PKCJWKSetPath == "" && r.HMACKey == "" && r.HMACJWKSet == "" {
			r.PKCJWKSetPath = keyServer + staticPath
		}
	}
	return realms
}

// Users returns the users of the file realm.
func Users() []esrealm.User {
	return []esrealm.User{
		{Name: "root", Password: "root-password", Roles: []string{"superuser"}},
		{Name: "bob", Password: "bob-password", Roles: []string{"readers"}},
		{Name: "bobby", Password: "bobby-password", Roles: []string{"writers"}},
		{Name: "runner", Password: "runner-password", Roles: []string{"runners"}},
		{Name: "nobody", Password: "nobody-password", Roles: []string{"no-such-role"}},
		{Name: "plain", Password: "plain-password"},
		{Name: "colon", Password: "pass:word"},
	}
}

// Roles returns the roles that are not built in.
func Roles() map[string]esrealm.Role {
	return map[string]esrealm.Role{
		"readers": {Indices: []esrealm.IndexPrivileges{{Names: []string{"logs-*"}, Privileges: []string{"read"}}}},
		"writers": {Indices: []esrealm.IndexPrivileges{{
			Names:      []string{"logs-*", "/x[0-9]/"},
			Privileges: []string{"read", "write", "create_index"},
		}}},
		"feeders": {Indices: []esrealm.IndexPrivileges{{
			Names:      []string{"logs-*"},
			Privileges: []string{"create_doc"},
		}}},
		"managers": {
			Cluster: []string{"monitor"},
			Indices: []esrealm.IndexPrivileges{{Names: []string{"logs-*"}, Privileges: []string{"manage"}}},
		},
		"runners": {RunAs: []string{"bob*"}},
	}
}

// field returns a rule about one field.
func field(name string, values ...any) map[string]any {
	if len(values) == 1 {
		return map[string]any{"field": map[string]any{name: values[0]}}
	}
	return map[string]any{"field": map[string]any{name: values}}
}

func anyOf(rules ...any) map[string]any { return map[string]any{"any": append([]any{}, rules...)} }
func allOf(rules ...any) map[string]any { return map[string]any{"all": append([]any{}, rules...)} }
func except(rule any) map[string]any    { return map[string]any{"except": rule} }

// RoleMappings returns the role mappings. Most of them are probes, which give a
// role with the name of the mapping to the users that match its rule.
func RoleMappings() map[string]esrealm.RoleMapping {
	mappings := map[string]esrealm.RoleMapping{}
	add := func(name string, rule any, roles ...string) {
		if len(roles) == 0 {
			roles = []string{name}
		}
		text, err := json.Marshal(rule)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		mappings[name] = esrealm.RoleMapping{Roles: roles, Rules: text}
	}
	for group, role := range map[string]string{
		"analysts": "viewer", "admins": "superuser", "readers": "readers", "writers": "writers",
		"feeders": "feeders", "managers": "managers", "runners": "runners",
	} {
		add("group-"+group, field("groups", group), role)
	}
	for name, rule := range probes() {
		add(name, allOf(field("realm.name", realmAlgorithms), rule))
	}
	return mappings
}
