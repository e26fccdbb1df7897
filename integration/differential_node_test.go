package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/conformance"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// esrealmWorld is the conformance suite's configuration, in esrealm.
func esrealmWorld(t *testing.T, version string) conformance.World {
	t.Helper()
	r, err := conformance.NewRealm(version)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r.World
}

// realWorld is the same configuration, in a real node.
func realWorld(t *testing.T, version string) conformance.World {
	t.Helper()
	keys, err := conformance.NewKeyServer()
	require.NoError(t, err)
	t.Cleanup(keys.Close)

	settings, secure := realmSettings(t, conformance.Realms(keys.URL, nil))
	config := realnode.ElasticsearchConfig{
		Config: realnode.Config{
			Version:  version,
			HTTP:     nodeTLS(),
			Settings: settings,
			Files: map[string][]byte{
				"certs/jwks-ca.crt":    keys.Authority.PEM(),
				conformance.KeySetFile: []byte(conformance.KeySet()),
			},
			Logf: logToStandardError,
		},
		Roles:        rolesFile(t, conformance.Roles()),
		RoleMappings: map[string]realnode.RoleMapping{},
		Keystore:     secure,
	}
	for _, u := range conformance.Users() {
		config.Users = append(config.Users, realnode.User{Name: u.Name, Password: u.Password, Roles: u.Roles})
	}
	for name, m := range conformance.RoleMappings() {
		config.RoleMappings[name] = realnode.RoleMapping{Roles: m.Roles, Rules: m.Rules}
	}
	es := newElasticsearch(t, config)
	require.NoError(t, es.Start(t.Context()))
	return conformance.World{
		Target: conformance.Target{
			Address: strings.TrimPrefix(es.URL(), "https://"), Authorities: nodeCA().Pool(), Version: version,
		},
		Keys: keys,
		SetSecret: func(realm, secret string) error {
			return setSharedSecret(t.Context(), es, realm, secret)
		},
		SetKeySet: func(document string) error {
			return es.WriteConfig(conformance.KeySetFile, []byte(document))
		},
	}
}

// realmSettings renders realms as lines of elasticsearch.yml and as secure
// settings.
func realmSettings(t *testing.T, realms []esrealm.Realm) (lines string, secure map[string]string) {
	t.Helper()
	var b strings.Builder
	secure = map[string]string{}
	for i, r := range realms {
		prefix := "xpack.security.authc.realms.jwt." + r.Name + "."
		set := func(name string, value any) {
			text, err := json.Marshal(value)
			require.NoError(t, err)
			if s := string(text); s != `""` && s != "null" && s != "0" {
				fmt.Fprintf(&b, "%s%s: %s\n", prefix, name, s)
			}
		}
		secret := func(name, value string) {
			if value != "" {
				secure[prefix+name] = value
			}
		}
		set("order", i+1)
		set("token_type", r.TokenType)
		set("allowed_issuer", r.AllowedIssuer)
		set("allowed_audiences", r.AllowedAudiences)
		set("allowed_subjects", r.AllowedSubjects)
		set("allowed_subject_patterns", r.AllowedSubjectPatterns)
		set("allowed_signature_algorithms", r.AllowedSignatureAlgorithms)
		if r.AllowedClockSkew != 0 {
			set("allowed_clock_skew", fmt.Sprintf("%ds", max(0, int(r.AllowedClockSkew.Seconds()))))
		}
		for group, claims := range map[string]esrealm.Claims{"claims.": r.Claims, "claim_patterns.": r.ClaimPatterns} {
			set(group+"principal", claims.Principal)
			set(group+"groups", claims.Groups)
			set(group+"name", claims.Name)
			set(group+"mail", claims.Mail)
			set(group+"dn", claims.DN)
		}
		set("fallback_claims.sub", r.FallbackClaims.Sub)
		set("fallback_claims.aud", r.FallbackClaims.Aud)
		for name, values := range r.RequiredClaims {
			set("required_claims."+name, values)
		}
		set("populate_user_metadata", r.PopulateUserMetadata)
		set("client_authentication.type", r.ClientAuthentication.Type)
		if grace := r.ClientAuthentication.RotationGracePeriod; grace > 0 {
			set("client_authentication.rotation_grace_period", fmt.Sprintf("%ds", int(grace.Seconds())))
		}
		secret("client_authentication.shared_secret", r.ClientAuthentication.SharedSecret)
		secret("hmac_key", r.HMACKey)
		secret("hmac_jwkset", r.HMACJWKSet)
		set("pkc_jwkset_path", r.PKCJWKSetPath)
		if strings.HasPrefix(r.PKCJWKSetPath, "https") {
			set("ssl.certificate_authorities", "certs/jwks-ca.crt")
		}
		if r.NoJWTCache {
			fmt.Fprintf(&b, "%sjwt.cache.size: 0\n", prefix)
		}
	}
	return b.String(), secure
}

// rolesFile renders roles.yml, with a role on a line.
func rolesFile(t *testing.T, roles map[string]esrealm.Role) string {
	t.Helper()
	var b strings.Builder
	for name, role := range roles {
		text, err := json.Marshal(role)
		require.NoError(t, err)
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	return b.String()
}

func setSharedSecret(ctx context.Context, es *realnode.Elasticsearch, realm, secret string) error {
	name := "xpack.security.authc.realms.jwt." + realm + ".client_authentication.shared_secret"
	if err := es.AddKeystore(ctx, map[string]string{name: secret}); err != nil {
		return err
	}
	status, body, err := es.Do(ctx, http.MethodPost, "/_nodes/reload_secure_settings", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("reload the secure settings: status %d: %s", status, body)
	}
	return err
}
