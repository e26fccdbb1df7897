package esjwt_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// TestUsernamePatternIsThePKIRealms, for certificates whose user a real Elasticsearch has named.
func TestUsernamePatternIsThePKIRealms(t *testing.T) {
	content, err := os.ReadFile("testdata/dn-vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Name     string
		CertPEM  string `json:"cert_pem"`
		Username *string
		Status   int
	}
	require.NoError(t, json.Unmarshal(content, &vectors))
	require.NotEmpty(t, vectors)
	ca := newAuthority(t, "clients authority")
	h := configured(t, `,"username_pattern":"CN=(.*?)(?:,|$)","groups":["none"]`)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			block, _ := pem.Decode([]byte(v.CertPEM))
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Logf("crypto/x509 refuses it before anybody else: %v", err)
				return
			}
			who := identityOf(h, referenceRequest(leaf, ca.cert))
			switch {
			case v.Status == http.StatusOK && strings.ContainsFunc(*v.Username, unicode.IsControl):
				require.Equal(t, "refused: invalid_name", who, "what Elasticsearch lets in, and we do not")
			case v.Status == http.StatusOK:
				require.Equal(t, *v.Username+" [none]", who)
			default:
				require.Contains(t, []string{"refused: no_principal", "refused: invalid_name"}, who)
			}
		})
	}
}

// TestPatternsFoldLettersOfASCIIAlone, as the PKI realm's do: Go's (?i) takes ſ for s.
func TestPatternsFoldLettersOfASCIIAlone(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	h := configured(t, `,"username_pattern":"CN=(svc-.*?)(?:,|$)","group_patterns":["OU=(services)"]`)
	who := func(unit, cn string) string {
		leaf := ca.issue(x509.Certificate{RawSubject: subject(t, rdn(oidOU, utf8String, unit),
			rdn(oidCN, utf8String, cn))}).Leaf
		return identityOf(h, referenceRequest(leaf, ca.cert))
	}
	require.Equal(t, "SVC-a [Services]", who("Services", "SVC-a"))
	require.Equal(t, "refused: no_principal", who("services", "\u017fvc-a"))
	require.Equal(t, "svc-a []", who("\u017fervices", "svc-a"))
}

func TestWhereThePrincipalAndTheGroupsComeFrom(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	leaf := ca.issue(x509.Certificate{RawSubject: subject(t,
		rdn(oidO, utf8String, "Example"), rdn(oidOU, utf8String, "east"), rdn(oidOU, utf8String, "west"),
		rdn(oidCN, utf8String, "svc-bob"), rdn(oidCN, utf8String, "bob"))}).Leaf
	mapping := filepath.Join(t.TempDir(), "role_mapping.yml")
	require.NoError(t, os.WriteFile(mapping, []byte(
		"reader:\n  - \"cn=bob,cn=svc-bob,ou=west,ou=east,o=example\"\nother:\n  - \"cn=eve,o=example\"\n"), 0o600))
	tests := []struct{ settings, want string }{
		{`,"username_pattern":"CN=svc-(.*?)(?:,|$)"`, "bob [Example]"},
		{`,"username_pattern":"cn=([^,]*)"`, "bob [Example]"},
		{`,"username_pattern":"UID=(.*)"`, "refused: no_principal"},
		{`,"username_pattern":"CN=(x?)"`, "refused: invalid_name"},
		{`,"username_rdn":"CN"`, "bob [Example]"},
		{`,"username_rdn":"2.5.4.11"`, "west [Example]"},
		{`,"username_rdn":"UID"`, "refused: no_principal"},
		{`,"username_rdn":"CN","group_patterns":["OU=([^,]+)"]`, "bob [west east]"},
		{`,"username_rdn":"CN","groups":["{cert.o}","staff"],"group_patterns":["OU=(w[^,]+)"]`, "bob [Example staff west]"},
		{`,"username_rdn":"CN","group_patterns":["(OU=.*)"]`, "refused: invalid_group"},
		{`,"username_rdn":"CN","role_mapping":"` + mapping + `"`, "bob [reader]"},
		{`,"username_rdn":"CN","groups":["{cert.ou}"],"role_mapping":"` + mapping + `"`, "bob [east west reader]"},
	}
	for _, tt := range tests {
		t.Run(tt.settings, func(t *testing.T) {
			require.Equal(t, tt.want, identityOf(configured(t, tt.settings), referenceRequest(leaf, ca.cert)))
		})
	}
}

// TestAChangedRoleMappingIsNoticed, a broken one is not taken, and clients that were there
// before have their new groups.
func TestAChangedRoleMappingIsNoticed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		r := referenceRequest(ca.client("alice").Leaf, ca.cert)
		file := filepath.Join(t.TempDir(), "role_mapping.yml")
		write := func(content string) {
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			time.Sleep(time.Minute)
		}
		write("reader: [\"cn=alice\"]\n")
		h := configured(t, `,"role_mapping":"`+file+`"`)
		require.Equal(t, "alice [reader]", identityOf(h, r))

		write("writer: [\"cn=alice\"]\n")
		require.Equal(t, "alice [writer]", identityOf(h, r))

		write("writer: {\n")
		require.Equal(t, "alice [writer]", identityOf(h, r), "the old one goes on")
	})
}

// claimsFor is what a handler's token says about a certificate.
func claimsFor(t testing.TB, h *esjwt.Handler, r *http.Request) map[string]any {
	t.Helper()
	return unverifiedClaims(tokenOf(t, h, r))
}

func TestTheClaimsAreTheConfiguredOnes(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	leaf := ca.issue(x509.Certificate{
		Subject:        pkix.Name{CommonName: "alice", OrganizationalUnit: []string{"east", "west"}},
		EmailAddresses: []string{"alice@example.com"},
	}).Leaf
	tests := []struct {
		name, settings string
		want           string // the claims but iat, nbf, exp
	}{
		{"an ID token", "", `{"iss":"i","aud":["a"],"sub":"alice","roles":[]}`},
		{"several audiences", `,"audience":["a","b"]`, `{"iss":"i","aud":["a","b"],"sub":"alice","roles":[]}`},
		{
			"another principal claim", `,"principal_claim":"username"`,
			`{"iss":"i","aud":["a"],"sub":"alice","username":"alice","roles":[]}`,
		},
		{
			"an access token with fallback claims",
			`,"token_type":"access_token","principal_claim":"client_id","audience_claim":"scope"`,
			`{"iss":"i","scope":["a"],"client_id":"alice","roles":[]}`,
		},
		{
			"another groups claim", `,"groups_claim":"groups","groups":["{cert.ou}"]`,
			`{"iss":"i","aud":["a"],"sub":"alice","groups":["east","west"]}`,
		},
		{
			"claims", `,"claims":{"email":"{cert.san.email}","units":"{cert.ou}","one":["{cert.cn}"],"token_use":"access",` +
				`"level":3,"internal":true,"phone":"{cert.uid}"}`,
			`{"iss":"i","aud":["a"],"sub":"alice","roles":[],"email":"alice@example.com","units":["east","west"],` +
				`"one":["alice"],"token_use":"access","level":3,"internal":true}`,
		},
		{
			"a required claim that is there", `,"claims":{"email":"{cert.san.email}"},"required_claims":["email"]`,
			`{"iss":"i","aud":["a"],"sub":"alice","roles":[],"email":"alice@example.com"}`,
		},
		{
			"the shape of Teleport's tokens", `,"claims":{"username":"{cert.cn}"},"groups":["{cert.ou}"]`,
			`{"iss":"i","aud":["a"],"sub":"alice","roles":["east","west"],"username":"alice"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := claimsFor(t, configured(t, tt.settings), referenceRequest(leaf, ca.cert))
			for _, name := range []string{"iat", "nbf", "exp"} {
				require.Contains(t, claims, name)
				delete(claims, name)
			}
			got, err := json.Marshal(claims)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(got))
		})
	}
	t.Run("a required claim that is not there", func(t *testing.T) {
		h := configured(t, `,"claims":{"phone":"{cert.uid}"},"required_claims":["phone"]`)
		require.Equal(t, "refused: no_claim", identityOf(h, referenceRequest(leaf, ca.cert)))
	})
	t.Run("an ambiguous claim", func(t *testing.T) {
		h := configured(t, `,"claims":{"unit":"x-{cert.ou}"}`)
		require.Equal(t, "refused: invalid_name", identityOf(h, referenceRequest(leaf, ca.cert)))
	})
}

// TestANameThatChangesOnItsWayIsRefused: the cluster would take it for another one.
func TestANameThatChangesOnItsWayIsRefused(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	for name, c := range map[string]struct{ settings, cn string }{
		"a header loses the blanks around it": {
			`,"headers":{"Authorization":"Bearer {jwt}","X-User":"{cert.cn}"}`, "admin ",
		},
		"OpenSearch's rendering loses the end of a line":       {`,"principal":"{cert.dn_opensearch}"`, "admin\r"},
		"the end of a line in the subject, which is the claim": {`,"claims":{"dn":"{cert.dn_opensearch}"}`, "admin\r"},
	} {
		t.Run(name, func(t *testing.T) {
			h := configured(t, c.settings)
			identity := func(cn string) string {
				return identityOf(h, referenceRequest(ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: cn}}).Leaf, ca.cert))
			}
			require.NotContains(t, identity("admin"), "refused")
			require.Equal(t, "refused: invalid_name", identity(c.cn))
		})
	}
}

// TestNoTextIsSearchedThatHasTheEndOfALineInIt: what stands behind it would be as good as a name.
func TestNoTextIsSearchedThatHasTheEndOfALineInIt(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	mapping := filepath.Join(t.TempDir(), "role_mapping.yml")
	require.NoError(t, os.WriteFile(mapping, []byte("admins:\n- \"CN=alice, OU=x\"\n"), 0o600))
	for name, c := range map[string]struct{ settings, refused string }{
		"username_pattern": {`,"username_pattern":"CN=(.*?)(?:,|$)"`, "refused: invalid_name"},
		"group_pattern":    {`,"group_patterns":["OU=(.*?)(?:,|$)"]`, "refused: invalid_group"},
		"role_mapping":     {`,"role_mapping":"` + mapping + `"`, "refused: invalid_group"},
	} {
		t.Run(name, func(t *testing.T) {
			h := configured(t, c.settings)
			identity := func(unit string) string {
				subject := pkix.Name{CommonName: "alice", OrganizationalUnit: []string{unit}}
				return identityOf(h, referenceRequest(ca.issue(x509.Certificate{Subject: subject}).Leaf, ca.cert))
			}
			require.NotContains(t, identity("x"), "refused")
			require.Equal(t, c.refused, identity("x\nOU=admins"))
		})
	}
}

// TestAConfirmationBindsATokenToItsCertificate (RFC 8705 section 3.1).
func TestAConfirmationBindsATokenToItsCertificate(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	h := configured(t, `,"confirmation":true`)
	tokens := map[string]bool{}
	for range 2 {
		leaf := ca.client("alice").Leaf
		r := referenceRequest(leaf, ca.cert)
		sum := sha256.Sum256(leaf.Raw)
		require.Equal(t, map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}, claimsFor(t, h, r)["cnf"])
		tokens[tokenOf(t, h, r)] = true
	}
	require.Len(t, tokens, 2)
}

// TestATokenIDIsTheSameOnEveryReplicaAndAnotherForEachToken (RFC 7519 section 4.1.7).
func TestATokenIDIsTheSameOnEveryReplicaAndAnotherForEachToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "clients authority")
		storage := t.TempDir()
		const config = `{"issuer":"i","audience":["a"],"jti":true}`
		a, _ := newHandlerOn(t, storage, config, es256)
		alice, bob := referenceRequest(ca.client("alice").Leaf, ca.cert), referenceRequest(ca.client("bob").Leaf, ca.cert)
		seen := map[string]bool{fmt.Sprint(claimsFor(t, a, bob)["jti"]): true}
		for range 5 {
			id := fmt.Sprint(claimsFor(t, a, alice)["jti"])
			require.Len(t, id, 22)
			require.Equal(t, id, fmt.Sprint(claimsFor(t, a, alice)["jti"]))
			require.NotContains(t, seen, id)
			seen[id] = true
			b, _ := newHandlerOn(t, storage+"/.", config, es256)
			require.Equal(t, tokenOf(t, a, alice), tokenOf(t, b, alice))
			time.Sleep(20 * time.Minute) // longer than a token lives
		}
	})
}
