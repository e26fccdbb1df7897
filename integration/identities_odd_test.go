package integration

import (
	"crypto/x509"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// odd is a certificate that names somebody in an unusual way.
type odd struct {
	name    string
	subject []byte
	// email is an alternative name.
	email string
	// realm is the user name that the PKI realm makes of it with the default
	// username_pattern, or "" for nobody. A Caddyfile with username_pattern gives
	// the same one.
	realm string
	// cn is the user name with `principal {cert.cn}`, or "" for nobody.
	cn string
	// refused is why Caddy refuses it where the PKI realm does not.
	refused string
}

// unsafe reports whether the common name has a meaning where it is put, or looks like another one.
func (o odd) unsafe() bool {
	return strings.ContainsAny(o.cn, `*?"\<>${}`+"\u202e\u200b\u00a0") || o.cn != strings.TrimSpace(o.cn)
}

// Why Caddy does not let somebody in whom the PKI realm does.
const (
	// The realm's user name would end in the middle of a name, or have a line's
	// end in it.
	forControl = "a control character in the subject"
	// The handshake ends: crypto/x509 holds the certificate for malformed.
	forParsing = "crypto/x509 does not read the certificate"
)

func oddCertificates() []odd {
	cn := func(text string) pki.RDN { return pki.RDN{{Type: pki.CN, Text: text}} }
	as := func(t pki.StringType, text string) pki.RDN { return pki.RDN{{Type: pki.CN, Text: text, As: t}} }
	acme := pki.RDN{{Type: pki.O, Text: "acme"}}
	rdn := func(oid, text string) pki.RDN { return pki.RDN{{Type: oid, Text: text}} }
	name := pki.Subject
	const unknown = "1.2.3.4.5"
	return []odd{
		{name: "plain", subject: name(acme, cn("alice")), realm: "alice", cn: "alice"},
		{name: "capitals", subject: name(rdn(pki.O, "ACME"), cn("ALICE")), realm: "ALICE", cn: "ALICE"},
		{
			name: "long", subject: name(rdn(pki.C, "DE"), rdn("2.5.4.8", "Berlin"), rdn("2.5.4.7", "Berlin"), acme,
				rdn(pki.OU, "data"), cn("alice")), realm: "alice", cn: "alice",
		},
		{name: "most general last", subject: name(cn("alice"), acme), realm: "alice", cn: "alice"},

		{name: "comma", subject: name(rdn(pki.O, "Acme, Inc."), cn("Doe, John")), realm: `"Doe`, cn: "Doe, John"},
		{name: "comma elsewhere", subject: name(rdn(pki.O, "Acme, Inc."), cn("alice")), realm: "alice", cn: "alice"},
		{name: "a name in another attribute", subject: name(cn("eve"), rdn(pki.O, "x,CN=admin")), realm: `admin"`, cn: "eve"},
		{
			name: "a whole name in another attribute", subject: name(cn("eve"), rdn(pki.O, "x,CN=admin,y")), realm: "admin",
			cn: "eve",
		},
		{name: "quotes", subject: name(cn(`say "hi"`)), realm: `"say \"hi\""`, cn: `say "hi"`},
		{name: "quoted as a whole", subject: name(cn(`"alice"`)), realm: `"alice"`, cn: `"alice"`},
		{name: "one quote", subject: name(cn(`"`)), realm: `"\""`, cn: `"`},
		{name: "plus", subject: name(acme, cn("a+b")), realm: `"a+b"`, cn: "a+b"},
		{name: "equals", subject: name(cn("a=b")), realm: `"a=b"`, cn: "a=b"},
		{name: "backslash", subject: name(cn(`CORP\alice`)), realm: `"CORP\\alice"`, cn: `CORP\alice`},
		{name: "backslash at the end", subject: name(acme, cn(`alice\`)), realm: `"alice\\"`, cn: `alice\`},
		{name: "semicolon", subject: name(cn("a;b")), realm: `"a;b"`, cn: "a;b"},
		{name: "angle brackets", subject: name(cn("<alice>")), realm: `"<alice>"`, cn: "<alice>"},
		{name: "number sign first", subject: name(cn("#alice")), realm: `"#alice"`, cn: "#alice"},
		{name: "number sign inside", subject: name(cn("a#1")), realm: `"a#1"`, cn: "a#1"},
		{name: "space first", subject: name(cn(" alice")), realm: `" alice"`, cn: " alice"},
		{name: "space last", subject: name(cn("alice ")), realm: `"alice "`, cn: "alice "},
		{name: "two spaces", subject: name(cn("a  b")), realm: `"a  b"`, cn: "a  b"},
		{name: "one space", subject: name(cn("Alice Doe")), realm: "Alice Doe", cn: "Alice Doe"},
		{name: "nothing but a space", subject: name(cn(" ")), realm: `" "`}, // Elasticsearch takes no blank sub
		{
			name: "slash", subject: name(cn("host/es1.example.com@EXAMPLE.COM")), realm: "host/es1.example.com@EXAMPLE.COM",
			cn: "host/es1.example.com@EXAMPLE.COM",
		},
		{
			name: "markup", subject: name(cn(`<script>&amp;</script>`)), realm: `"<script>&amp;</script>"`,
			cn: `<script>&amp;</script>`,
		},
		{
			name: "placeholder", subject: name(cn("{cert.o} ${x} {{y}}")), realm: "{cert.o} ${x} {{y}}",
			cn: "{cert.o} ${x} {{y}}",
		},

		{
			name: "two attributes", subject: name(acme, pki.RDN{{Type: pki.CN, Text: "bob"}, {Type: pki.OU, Text: "eng"}}),
			realm: "bob + OU=eng", cn: "bob",
		},
		{
			name: "two attributes, the name last", subject: name(acme,
				pki.RDN{{Type: pki.OU, Text: "eng"}, {Type: pki.CN, Text: "bob"}}), realm: "bob", cn: "bob",
		},
		{
			name: "three attributes", subject: name(acme, pki.RDN{
				{Type: pki.CN, Text: "bob"},
				{Type: pki.OU, Text: "eng"},
				{Type: pki.UID, Text: "b1"},
			}), realm: "bob + OU=eng + UID=b1", cn: "bob",
		},
		{name: "two names", subject: name(cn("first"), acme, cn("last")), realm: "last"},
		{
			name: "two names in one", subject: name(pki.RDN{{Type: pki.CN, Text: "a"}, {Type: pki.CN, Text: "b"}}),
			realm: "a + CN=b",
		},
		{name: "the same name twice", subject: name(cn("alice"), cn("alice")), realm: "alice"},

		{name: "UTF-8", subject: name(acme, cn("Zoë")), realm: "Zoë", cn: "Zoë"},
		{name: "combining character", subject: name(acme, cn("Zoe\u0308")), realm: "Zoe\u0308", cn: "Zoe\u0308"},
		{name: "beyond the basic plane", subject: name(cn("😀")), realm: "😀", cn: "😀"},
		{name: "Chinese", subject: name(cn("李明")), realm: "李明", cn: "李明"},
		{name: "right to left", subject: name(cn("עברית")), realm: "עברית", cn: "עברית"},
		{name: "direction override", subject: name(cn("ali\u202ece")), realm: "ali\u202ece", cn: "ali\u202ece"},
		{name: "space without a break", subject: name(cn("\u00a0alice")), realm: "\u00a0alice", cn: "\u00a0alice"},
		{name: "space without width", subject: name(cn("alice\u200b")), realm: "alice\u200b", cn: "alice\u200b"},
		{name: "Cyrillic look-alike", subject: name(acme, cn("аlice")), realm: "аlice", cn: "аlice"},
		{name: "capital sharp s, dotless i", subject: name(cn("ẞıİ")), realm: "ẞıİ", cn: "ẞıİ"},

		{
			name: "e-mail", subject: name(acme, cn("mail"), pki.RDN{{Type: pki.Email, Text: "mail@example.com", As: pki.IA5}}),
			realm: "mail", cn: "mail",
		},
		{name: "e-mail alone", subject: name(pki.RDN{{Type: pki.Email, Text: "mail@example.com", As: pki.IA5}})},
		{
			name: "unknown attribute", subject: name(cn("unknown attribute"), rdn(unknown, "x")), realm: "unknown attribute",
			cn: "unknown attribute",
		},
		{
			name: "unknown attribute with a comma", subject: name(cn("alice"), rdn(unknown, "x,y")), realm: "alice", cn: "alice",
		},
		{
			name: "an OID that ends like CN", subject: name(cn("alice"), rdn("1.3.6.1.4.1.311.2.5.4.3", "eve")), realm: "alice",
			cn: "alice",
		},
		{
			name: "uid and domain components",
			subject: name(pki.RDN{{Type: pki.DC, Text: "com", As: pki.IA5}}, pki.RDN{{
				Type: pki.DC, Text: "example",
				As: pki.IA5,
			}}, rdn(pki.UID, "alice"), cn("Alice Doe")), realm: "Alice Doe", cn: "Alice Doe",
		},
		{
			name: "serial number, title, given name", subject: name(rdn("2.5.4.5", "42"), rdn("2.5.4.12", "Dr."),
				rdn("2.5.4.42", "Alice"), cn("alice")), realm: "alice", cn: "alice",
		},

		{name: "no name at all", subject: name()},
		{name: "no subject", subject: name(), email: "alice@example.com"},
		{name: "no name", subject: name(acme)},
		{name: "empty name", subject: name(acme, cn(""))},
		{name: "empty other attribute", subject: name(rdn(pki.O, ""), cn("alice")), realm: "alice", cn: "alice"},
		{name: "an empty name after a good one", subject: name(cn("alice"), cn(""))},
		{name: "an empty name before a good one", subject: name(cn(""), cn("alice")), realm: "alice"},

		{name: "PrintableString", subject: name(as(pki.Printable, "alice")), realm: "alice", cn: "alice"},
		{
			name: "IA5String", subject: name(as(pki.IA5, "alice@example.com")), realm: "alice@example.com",
			cn: "alice@example.com",
		},
		{name: "T61String", subject: name(as(pki.T61, "Zoë")), realm: "Zoë", cn: "Zoë"},
		{name: "BMPString", subject: name(acme, as(pki.BMP, "Zoë")), realm: "Zoë", cn: "Zoë"},
		{name: "BMPString in Chinese", subject: name(as(pki.BMP, "李明")), realm: "李明", cn: "李明"},
		{name: "NumericString", subject: name(as(pki.Numeric, "123")), realm: "#1203313233", cn: "123"},
		{
			name: "BMPString elsewhere", subject: name(pki.RDN{{Type: pki.O, Text: "Zoë, Inc.", As: pki.BMP}}, cn("alice")),
			realm: "alice", cn: "alice",
		},
		{name: "UniversalString", subject: name(as(pki.Universal, "alice")), realm: "alice", refused: forParsing},
		{
			name: "PrintableString with an underscore", subject: name(as(pki.Printable, "svc_logs")), realm: "svc_logs",
			refused: forParsing,
		},
		{name: "invalid UTF-8", subject: name(cn("al\xffice")), realm: "al\ufffdice", refused: forParsing},

		{name: "tab", subject: name(cn("a\tb")), realm: "a\tb", refused: forControl},
		{name: "NUL", subject: name(cn("alice\x00")), realm: "alice\x00", refused: forControl},
		{
			name: "carriage return elsewhere", subject: name(rdn(pki.O, "a\rb"), cn("alice")), realm: "alice", cn: "alice",
			refused: forControl,
		},
		{name: "newline", subject: name(cn("alice\nbob"))},
		{
			name: "newline elsewhere", subject: name(rdn(pki.O, "a\nb"), cn("alice")), realm: "alice", cn: "alice",
			refused: forControl,
		},
		{name: "line separator", subject: name(cn("alice\u2028bob"))},
	}
}

func (o odd) template() *x509.Certificate {
	template := &x509.Certificate{RawSubject: o.subject}
	if o.email != "" {
		template.EmailAddresses = []string{o.email}
	}
	return template
}

// rowsOfTheManual are the examples of docs/from-the-pki-realm.md: for a subject, the
// user by the pattern and by the attribute.
func rowsOfTheManual(t *testing.T) map[string][2]string {
	t.Helper()
	rows := map[string][2]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+=[^`]+)` \\| `([^`]+)` \\| (?:refused|`([^`]+)`) \\|$")
	for _, match := range row.FindAllStringSubmatch(document(t, "from-the-pki-realm.md"), -1) {
		rows[match[1]] = [2]string{match[2], match[3]}
	}
	require.NotEmpty(t, rows)
	return rows
}

// The same certificates, shown to the node and shown to Caddy: the same user, with
// the same name and the same roles. Or it is nobody in both places.
func TestOddCertificatesAreTheSameUserAsInThePKIRealm(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		s.putSameMappings(t)
		moved := site{
			issuer:  movedIssuer,
			handler: "username_pattern\nname_characters any\nclaim dn {cert.dn}\nrole_mapping " + roleMappingPath(t),
		}
		byCN := site{issuer: movedIssuer, handler: "principal {cert.cn}\ngroups off\nname_characters any"}
		// With the default of name_characters, a name with a meaning is nobody, but for who asks for the realm's name.
		safe, safeRealm := site{issuer: movedIssuer, handler: "principal {cert.cn}\ngroups off"},
			site{issuer: movedIssuer, handler: "username_pattern\ngroups off"}
		s.startSites(t, &moved, &byCN, &safe, &safeRealm)
		var given []string
		manual := rowsOfTheManual(t)
		for _, o := range oddCertificates() {
			t.Run(o.name, func(t *testing.T) {
				certificate := clientCA().Issue(o.template())
				realm, err := s.direct(t.Context(), certificate)
				require.NoError(t, err)
				require.Equal(t, o.realm, realm.Name)

				got, err := moved.through(t.Context(), certificate)
				require.NoError(t, err)
				switch {
				case o.refused == forParsing:
					require.Equal(t, identity{}, got)
				case o.realm == "", o.refused != "":
					require.Equal(t, identity{Status: http.StatusForbidden}, got)
				default:
					require.Equal(t, realm, got)
					given = append(given, got.Roles...)
				}

				got, err = byCN.through(t.Context(), certificate)
				require.NoError(t, err)
				require.Equal(t, o.cn, got.Name)

				got, err = safe.through(t.Context(), certificate)
				require.NoError(t, err)
				if o.unsafe() {
					require.Equal(t, identity{Status: http.StatusForbidden}, got)
				} else {
					require.Equal(t, o.cn, got.Name)
				}
				got, err = safeRealm.through(t.Context(), certificate)
				require.NoError(t, err)
				if o.refused == "" {
					require.Equal(t, o.realm, got.Name)
				}
				if row, found := manual[realm.DN]; found {
					require.Equal(t, [2]string{o.realm, o.cn}, row, "docs/from-the-pki-realm.md")
					delete(manual, realm.DN)
				}
			})
		}
		require.Empty(t, manual, "these are in docs/from-the-pki-realm.md and not here")
		// What would agree just as well if nobody had a role.
		for _, role := range []string{
			"by_dn", "by_quoted_dn", "by_subtree", "by_wildcard_dn", "by_username", "by_wildcard", "by_exception",
			"file_doe", "file_doe_too", "file_bob", "file_zoe", "file_zoe_escaped", "file_mail", "file_oid",
		} {
			require.Contains(t, given, role)
		}
		require.NotContains(t, given, "file_not_mail", "emailAddress is not how Java calls it")
		for role, why := range map[string]string{
			"by_username_case": "the case counts",
			"file_wrong_order": "the order counts",
		} {
			require.Len(t, slices.DeleteFunc(slices.Clone(given), func(r string) bool { return r != role }), 1, why)
		}
	})
}
