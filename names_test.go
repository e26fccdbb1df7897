package esjwt_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// TestNamesThatMeanSomethingElseAreRefused, unless name_characters allows them. What each would be was seen on real
// nodes: Elasticsearch 8.17.0 and 9.2.0 fold four letters into those of ASCII where they compare groups and DNs;
// OpenSearch 2.19.3 and 3.4.0 put ${user.name}, ${user.roles} and ${attr.jwt.*} as raw text into patterns of
// indices and filters of documents.
func TestNamesThatMeanSomethingElseAreRefused(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	mapping := writeFile(t, "role_mapping.yml", []byte("admins:\n  - \"CN=admin\"\n"))
	for name, tt := range map[string]struct {
		settings string
		subject  [][]pkix.AttributeTypeAndValue
		safe     string
		any      string
	}{
		"everybody's indices": {"", one(oidCN, "*"), "refused: invalid_name", "* []"},
		"a bare filter": {
			"", one(oidCN, `x"}},{"match_all":{}},{"term":{"a":"b`), "refused: invalid_name",
			`x"}},{"match_all":{}},{"term":{"a":"b []`,
		},
		"another template":      {"", one(oidCN, "${attr.jwt.team}"), "refused: invalid_name", "${attr.jwt.team} []"},
		"a regular expression":  {"", one(oidCN, "/.+/"), "refused: invalid_name", "/.+/ []"},
		"a backslash":           {"", one(oidCN, `CORP\alice`), "refused: invalid_name", `CORP\alice []`},
		"a blank name":          {"", one(oidCN, "  "), "refused: invalid_name", "   []"},
		"a blank at the end":    {"", one(oidCN, "alice "), "refused: invalid_name", "alice  []"},
		"a direction override":  {"", one(oidCN, "ali\u202ece"), "refused: invalid_name", "ali\u202ece []"},
		"a space without width": {"", one(oidCN, "alice\u200b"), "refused: invalid_name", "alice\u200b []"},
		"a group of another roles list": {
			"", append(one(oidO, `x","hr`), one(oidCN, "eve")...), "refused: invalid_group", `eve [x","hr]`,
		},
		"a folded group": {
			"", append(one(oidO, "\u017ftaff"), one(oidCN, "eve")...), "refused: invalid_group", "eve [\u017ftaff]",
		},
		"a dotless group": {
			"", append(one(oidO, "adm\u0131ns"), one(oidCN, "eve")...), "refused: invalid_group", "eve [adm\u0131ns]",
		},
		"a folded user is another one": {"", one(oidCN, "\u017faskia"), "\u017faskia []", "\u017faskia []"},
		"an invisible group": {
			"", append(one(oidO, "staff\u00ad"), one(oidCN, "eve")...), "refused: invalid_group", "eve [staff\u00ad]",
		},
		"a group by a pattern": {
			`,"group_patterns":["O=([^,]*)"]`, append(one(oidO, "*"), one(oidCN, "eve")...), "refused: invalid_group", "eve [*]",
		},
		"a group in longer text": {
			`,"groups":["team-{cert.o}"]`, append(one(oidO, "*"), one(oidCN, "eve")...), "refused: invalid_group",
			"eve [team-*]",
		},
		"a claim": {
			`,"claims":{"team":"{cert.ou}"}`, append(one(oidOU, `a"b`), one(oidCN, "eve")...), "refused: invalid_name", "eve []",
		},
		"one of a claim's values": {
			`,"claims":{"team":["x","{cert.ou}"]}`, append(one(oidOU, "{{x}}"), one(oidCN, "eve")...), "refused: invalid_name",
			"eve []",
		},
		"a header": {
			`,"headers":{"X-Team":"{cert.ou}"}`, append(one(oidOU, "$x"), one(oidCN, "eve")...), "refused: invalid_name",
			"eve []",
		},
		"two values of a header": {
			`,"headers":{"X-Proxy-Roles":"{cert.ou}"}`, append(one(oidOU, "staff,admins"), one(oidCN, "eve")...),
			"refused: invalid_name", "eve []",
		},
		"a whole name in a header": {
			`,"headers":{"X-DN":"{cert.dn}"}`, append(one(oidOU, "a,b"), one(oidCN, "eve")...), "eve []", "eve []",
		},
		"what a whole name quotes": {
			`,"groups":["{cert.dn}"]`, one(oidCN, `eve "<\>" `), "refused: invalid_name", `eve "<\>"  [CN="eve \"<\\>\" "]`,
		},
		"a folded whole name": {
			`,"claims":{"dn":"{cert.dn}"}`, one(oidCN, "adm\u0131n"), "refused: invalid_name", "adm\u0131n []",
		},
		"a template in a whole name": {
			`,"principal":"{cert.dn_opensearch}"`, one(oidCN, "${attr.jwt.team}"), "refused: invalid_name",
			"CN=${attr.jwt.team} []",
		},
		"a folded subject of a file": {
			`,"role_mapping":"` + mapping + `"`, one(oidCN, "ADM\u0130N"), "refused: invalid_group", "ADM\u0130N [admins]",
		},
		"text of the configuration": {
			`,"principal":"<{cert.cn}|*","groups":["a\\{b\"","x y "],"claims":{"x":"*"}`, one(oidCN, "alice"),
			`<alice|* [a{b" x y ]`, `<alice|* [a{b" x y ]`,
		},
		// The promise of these two is the PKI realm's name, whatever it is.
		"a pattern's name":    {`,"username_pattern":"CN=(.*)"`, one(oidCN, `*"\`), `"*\"\\" []`, `"*\"\\" []`},
		"an attribute's name": {`,"username_rdn":"CN"`, one(oidCN, "a\u200b*"), "a\u200b* []", "a\u200b* []"},
		"what a whole name quotes, too": {
			`,"username_rdn":"CN","groups":["{cert.dn}"]`, one(oidCN, `eve "<\>" `), `eve "<\>"  [CN="eve \"<\\>\" "]`,
			`eve "<\>"  [CN="eve \"<\\>\" "]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := referenceRequest(ca.issue(x509.Certificate{RawSubject: subject(t, tt.subject...)}).Leaf, ca.cert)
			require.Equal(t, tt.safe, identityOf(configured(t, tt.settings), r))
			require.Equal(t, tt.safe, identityOf(configured(t, tt.settings+`,"name_characters":"safe"`), r))
			require.Equal(t, tt.any, identityOf(configured(t, tt.settings+`,"name_characters":"any"`), r))
		})
	}
}

func one(oid asn1.ObjectIdentifier, value string) [][]pkix.AttributeTypeAndValue {
	return [][]pkix.AttributeTypeAndValue{rdn(oid, utf8String, value)}
}

// TestARefusedNameIsExplainedToTheOperatorAlone: the client learns what kind of thing is wrong, and
// nothing that it chose.
func TestARefusedNameIsExplainedToTheOperatorAlone(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}", "")
	a := s.get(s.httpClient(s.clients.client("ali\u202ece")), "/")
	require.Equal(t, http.StatusForbidden, a.StatusCode)
	require.Equal(t, "invalid_name", a.body)
	s.upstream.requireNone(t)
	logs := s.logs.String()
	require.Contains(t, logs,
		"has a character that cannot be seen: issue the certificate without, or allow such names with name_characters")
	require.Contains(t, logs, "principal {cert.cn}: the name has a character that cannot be seen: U+202E")
}

// TestTemplatesInWhichTwoNamesBecomeOneAreWarnedOf: in {cert.cn}@{cert.o}, (a@b, c) and (a, b@c) are the same.
func TestTemplatesInWhichTwoNamesBecomeOneAreWarnedOf(t *testing.T) {
	for settings, warned := range map[string]string{
		"principal {cert.cn}@{cert.o}":                           `cn=\"x@y\" with o=\"z\", and cn=\"x\" with o=\"y@z\"`,
		"principal {cert.cn}{cert.o}":                            `cn=\"xy\" with o=\"z\", and cn=\"x\" with o=\"yz\"`,
		"groups {cert.o} {cert.ou}/{cert.l}":                     `ou=\"x/y\"`,
		"claim label \"{cert.cn} of {cert.ou}\"":                 `cn=\"x of y\"`,
		"header X-Who \"{cert.o}, {cert.dn}\"":                   "", // no value of a header but a whole name has a comma
		"header X-Who \"{cert.dn}, {cert.issuer.dn}\"":           `dn=\"x, y\"`,
		"principal {cert.cn}":                                    "",
		"principal svc-{cert.cn}":                                "",
		"principal {cert.cn}|{cert.o}":                           "",
		"principal {cert.cn}*{cert.o}*{cert.ou}":                 "",
		"principal {cert.cn}|{cert.o}-{cert.ou}|{cert.l}":        `o=\"x-y\"`,
		"principal {cert.cn}|{cert.o}\nname_characters any":      `cn=\"x|y\"`,
		"principal {cert.serial}-{cert.cn}":                      "",
		"principal {cert.cn}-{cert.serial}":                      "",
		"principal {cert.san.ip}/{cert.cn}":                      "",
		"principal {cert.san.ip}.{cert.cn}":                      `san.ip=\"x.y\"`,
		"principal {cert.fingerprint}{cert.cn}":                  "",
		"principal {cert.cn}-{cert.cn}":                          "",
		"principal {cert.serial}-{cert.cn}-{cert.fingerprint}":   "",
		"principal {cert.serial}-{cert.cn}-{cert.o}|{cert.c}":    `cn=\"x-y\"`,
		"username_rdn CN\ngroup_pattern OU=(.*)\nclaim a plain":  "",
		"claim_list tags {cert.o} {cert.l} {cert.ou}-{cert.o}":   `ou=\"x-y\"`,
		"principal {cert.cn}|{cert.o}\ngroups \"{cert.dn}|all\"": "",
	} {
		t.Run(settings, func(t *testing.T) {
			s := newSceneOf(t, ownPool, "{{settings}}", settings)
			const warning = "two certificates can become the same name here"
			if warned == "" {
				require.NotContains(t, s.logs.String(), warning)
				return
			}
			require.Equal(t, 1, strings.Count(s.logs.String(), warning), s.logs.String())
			require.Contains(t, s.logs.String(), warned)
			require.Contains(t, s.logs.String(), "use one placeholder, or join them with a character")
		})
	}
}

// TestAClaimCanBeAListAlways: a role template with {{#toJson}} needs one, also where a certificate has one value.
func TestAClaimCanBeAListAlways(t *testing.T) {
	s := newSceneOf(t, ownPool, "{{settings}}",
		"claim unit {cert.ou}\nclaim_list teams {cert.ou}\nrequired_claim_list areas {cert.o}\nclaim_list phones {cert.uid}")
	client := func(units ...string) *http.Client {
		return s.httpClient(s.clients.issue(x509.Certificate{Subject: pkix.Name{
			CommonName: "alice", Organization: units,
			OrganizationalUnit: units,
		}}))
	}
	require.Equal(t, http.StatusOK, s.get(client("search"), "/").StatusCode)
	claims := s.token(s.upstream.last(t)).claims
	require.Equal(t, "search", claims["unit"])
	require.Equal(t, []any{"search"}, claims["teams"])
	require.Equal(t, []any{"search"}, claims["areas"])
	require.NotContains(t, claims, "phones", "no value is no claim")

	require.Equal(t, http.StatusOK, s.get(client("logs", "search"), "/").StatusCode)
	claims = s.token(s.upstream.last(t)).claims
	require.Equal(t, []any{"logs", "search"}, claims["unit"])
	require.Equal(t, []any{"logs", "search"}, claims["teams"])

	require.Equal(t, "no_claim", s.get(client(), "/").body)
}

// TestAUserOfActiveDirectoryIsTheUserPrincipalName of its certificate, which has more than one CN.
func TestAUserOfActiveDirectoryIsTheUserPrincipalName(t *testing.T) {
	ca := newAuthority(t, "clients authority")
	h := configured(t, `,"principal":"{cert.san.upn}"`)
	who := func(names ...string) string {
		var b cryptobyte.Builder
		zero := cbasn1.Tag(0).ContextSpecific().Constructed()
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, name := range names {
				b.AddASN1(zero, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
					b.AddASN1(zero, func(b *cryptobyte.Builder) {
						b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
					})
				})
			}
			b.AddASN1(cbasn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte("mail@example.com")) })
		})
		der, err := b.Bytes()
		require.NoError(t, err)
		return identityOf(h, referenceRequest(ca.issue(x509.Certificate{
			RawSubject:      subject(t, rdn(oidCN, utf8String, "Users"), rdn(oidCN, utf8String, "Alice Doe")),
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}},
		}).Leaf, ca.cert))
	}
	require.Equal(t, "alice@corp.example.com []", who("alice@corp.example.com"))
	require.Equal(t, "refused: no_principal", who())
	require.Equal(t, "refused: no_principal", who("alice@corp.example.com", "admin@corp.example.com"))
	require.Equal(t, "refused: invalid_name", who("\xff"))
	require.Equal(t, "refused: invalid_name", who("*@corp.example.com"))
}

// TestAHeaderThatIsProbablyMistypedIsWarnedOf, since the token is in it and no node reads it.
func TestAHeaderThatIsProbablyMistypedIsWarnedOf(t *testing.T) {
	for header, meant := range map[string]string{
		"Authorisation":            "Authorization",
		"Athorization":             "Authorization",
		"X-Proxy-Role":             "x-proxy-roles",
		"es-security-run-as-user":  "",
		"es-security-runas-usr":    "es-security-runas-user",
		"X_Proxy_User":             "",
		"X-Proxy-User":             "",
		"X-Authorization":          "",
		"Proxy-Authorization":      "",
		"X-Forwarded-Access-Token": "",
		"X-User":                   "",
	} {
		t.Run(header, func(t *testing.T) {
			r := newReplica(t, replicaConfig{handler: `,"headers":{"` + header + `":"{cert.cn}"}`})
			const warning = "no node reads a header of this name: did you mean "
			if meant == "" {
				require.NotContains(t, r.logs.String(), warning)
				return
			}
			require.Contains(t, r.logs.String(), warning+meant+"?")
			require.Contains(t, r.logs.String(), `"setting":"header `+http.CanonicalHeaderKey(header)+`"`)
		})
	}
}
