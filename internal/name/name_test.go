package name_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
)

var kinds = []name.Kind{name.Plain, name.Group, name.DN, name.Header}

// TestNamesOfPeopleAndMachinesAreSafe.
func TestNamesOfPeopleAndMachinesAreSafe(t *testing.T) {
	for _, s := range []string{
		"alice", "Alice Doe", "O'Brien", "Zoë", "Zoe\u0308", "李明", "עברית", "аlice", "😀", "svc-logs_1", "alice@example.com",
		"alice+tag@example.com",
		"host/es1.example.com@EXAMPLE.COM", "spiffe://example.org/ns/data/sa/ingest", "urn:uuid:6ba7b810",
		"https://example.com/a%20b#c&d=e", "2001:db8::1",
		"Procter & Gamble", "Acme (UK) Ltd.", "Yahoo! Inc.", "Group #1", "a;b", "a=b", "a~b", "[a]", "user:1",
		"system:masters", "a  b", "ẞ", "Ελλάδα", "ς",
	} {
		for _, kind := range kinds {
			require.NoError(t, name.Safe(s, kind), s)
		}
	}
}

// TestWhatIsNoName has the kinds for which a text is no name. Sources: real Elasticsearch nodes for the comparison
// without regard to case and for the templates of roles; Unicode Technical Report 36 for invisible characters.
func TestWhatIsNoName(t *testing.T) {
	const plain, group, dn, header = "plain ", "group ", "dn ", "header "
	const all = plain + group + dn + header
	for _, tt := range []struct{ s, problem, refused string }{
		{"", name.Empty, all},
		{"\xff", name.NotUTF8, all},
		{"a\x00", name.Control, all},
		{"a\nb", name.Control, all},
		{"a\u0085b", name.Control, all},
		{"a\u2028b", name.Control, all},
		{" ", name.Blank, all},
		{"   ", name.Blank, all},
		{" alice", name.Blank, plain + group + header},
		{"alice ", name.Blank, plain + group + header},
		{"alice\u00a0", name.Invisible, all},
		{"\u3000alice", name.Invisible, all},
		{"ali\u200bce", name.Invisible, all},     // zero width space
		{"ali\u200dce", name.Invisible, all},     // zero width joiner
		{"ali\u202ece", name.Invisible, all},     // right-to-left override
		{"ali\u2066ce", name.Invisible, all},     // left-to-right isolate
		{"ali\u00adce", name.Invisible, all},     // soft hyphen
		{"\ufeffalice", name.Invisible, all},     // byte order mark
		{"alice\ufe0f", name.Invisible, all},     // variation selector
		{"alice\U000e0100", name.Invisible, all}, // and one of another plane
		{"alice\u034f", name.Invisible, all},     // combining grapheme joiner
		{"alice\u3164", name.Invisible, all},     // Hangul filler, a letter to Unicode
		{"alice\U000e0041", name.Invisible, all}, // tag
		{"alice\ue000", name.Invisible, all},     // private use
		{"alice\ufdd0", name.Invisible, all},     // no character
		{"alice\u2800", name.Invisible, all},     // braille blank
		{"al\ufffdice", name.Invisible, all},     // what could not be read
		{"\u017ftaff", name.Folded, group + dn},
		{"adm\u0131ns", name.Folded, group + dn},
		{"ADM\u0130NS", name.Folded, group + dn},
		{"\u212a", name.Folded, group + dn},
		{"*", name.Special, all},
		{"?lice", name.Special, all},
		{"${attr.jwt.team}", name.Special, all},
		{"{{_user.username}}", name.Special, all},
		{"a|b", name.Special, all},
		{"a^2", name.Special, all},
		{"`id`", name.Special, all},
		{`x"}},{"match_all":{}}`, name.Special, all},
		{`a"b`, name.Special, plain + group + header},
		{`CORP\alice`, name.Special, plain + group + header},
		{"<logs>", name.Special, plain + group + header},
		{"/.+/", name.Special, plain + group + header},
		{"Acme, Inc.", name.Comma, header},
	} {
		for i, kind := range kinds {
			err := name.Safe(tt.s, kind)
			if strings.Contains(tt.refused, []string{plain, group, dn, header}[i]) {
				require.Equal(t, tt.problem, name.ProblemOf(err), "%q as %d", tt.s, kind)
			} else {
				require.NoError(t, err, "%q as %d", tt.s, kind)
			}
		}
	}
}

// TestAnErrorHasTheCharacterByItsNumber, and nothing else of the name.
func TestAnErrorHasTheCharacterByItsNumber(t *testing.T) {
	require.EqualError(t, name.Safe("ali\u202ece", name.Plain), "the name has a character that cannot be seen: U+202E")
	require.EqualError(t, name.Clean(""), "the name is empty")
}

func FuzzSafe(f *testing.F) {
	for _, s := range []string{"alice", "*", " a", "\u017f", "a\u0301", "\xff", "/", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range kinds {
			err := name.Safe(s, kind)
			if err != nil {
				require.NotEmpty(t, name.ProblemOf(err))
				continue
			}
			require.NoError(t, name.Clean(s), "what is safe is clean")
			require.True(t, utf8.ValidString(s))
			require.NotEmpty(t, strings.TrimSpace(s))
			require.False(t, strings.ContainsFunc(s, func(r rune) bool {
				return r != ' ' && !unicode.IsGraphic(r) &&
					unicode.In(r, unicode.C, unicode.Z)
			}), "%q", s)
			require.False(t, strings.ContainsAny(s, "*?${}|"))
			if kind == name.Group || kind == name.DN {
				for r := range strings.SplitSeq(s, "") {
					require.False(t, len(r) > 1 && asJavaFolds(r), "%q equals a name of ASCII", s)
				}
			}
		}
	})
}

// asJavaFolds reports whether String.equalsIgnoreCase takes a character for one of ASCII.
func asJavaFolds(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	upper := unicode.ToUpper(r)
	return upper < utf8.RuneSelf || unicode.ToLower(upper) < utf8.RuneSelf
}
