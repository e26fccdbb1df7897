package integration

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// Subjects that nobody has thought of, and those of the collection that the unit
// tests have: the name that the PKI realm renders, the user name, and the roles
// are the same through Caddy.
func TestRandomCertificatesAreTheSameUserAsInThePKIRealm(t *testing.T) {
	const count = 300
	subjects := collectedSubjects(t)
	r := rand.New(rand.NewPCG(8, 17))
	for range count {
		subjects = append(subjects, randomSubject(r))
	}
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		s.putSameMappings(t)
		moved := site{
			issuer:  movedIssuer,
			handler: "username_pattern\nname_characters any\nclaim dn {cert.dn}\nrole_mapping " + roleMappingPath(t),
		}
		s.startSites(t, &moved)

		same, nobody, refused := 0, 0, 0
		var mu sync.Mutex
		compare := func(subject []byte) {
			certificate := clientCA().ClientRaw(subject)
			want, err := s.direct(t.Context(), certificate)
			if err != nil {
				t.Errorf("%x: %v", subject, err)
				return
			}
			got, err := moved.through(t.Context(), certificate)
			if err != nil {
				t.Errorf("%x: %v", subject, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case want.nobody():
				nobody++
				assert.True(t, got.nobody(), "%x is nobody for the realm, and %q through Caddy", subject, got.Name)
			case certificate.Leaf == nil, strings.ContainsFunc(want.DN, endsName):
				refused++
				assert.True(t, got.nobody(), "%x should have been refused, and is %q", subject, got.Name)
			default:
				same++
				assert.Equal(t, want, got, "%x", subject)
			}
		}
		var workers sync.WaitGroup
		todo := make(chan []byte)
		for range 4 {
			workers.Go(func() {
				for subject := range todo {
					compare(subject)
				}
			})
		}
		for _, subject := range subjects {
			todo <- subject
		}
		close(todo)
		workers.Wait()
		t.Logf("%d the same user, %d nobody, %d refused by Caddy alone", same, nobody, refused)
		require.Greater(t, same, count*2/3)
		require.Less(t, refused, 10)
	})
}

// endsName are the characters with which Caddy refuses a name.
func endsName(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// collectedSubjects are those of which a node's answer is on record.
func collectedSubjects(t *testing.T) (subjects [][]byte) {
	t.Helper()
	text, err := os.ReadFile("../testdata/dn-vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Subject []byte `json:"subject_der_base64"`
	}
	require.NoError(t, json.Unmarshal(text, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		subjects = append(subjects, v.Subject)
	}
	return subjects
}

// Attribute types with a name in Java and without one.
var attributeTypes = []string{
	pki.C, pki.O, pki.OU, pki.Email, pki.UID, pki.DC,
	"2.5.4.4", "2.5.4.5", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.12", "2.5.4.42", "2.5.4.43", "2.5.4.44", "2.5.4.46",
	"2.5.4.13", "2.5.4.97", "1.2.3.4.5", "1.3.6.1.4.1.311.60.2.1.3", "1.3.6.1.4.1.42.2.11.2.1",
	"2.16.840.1.113730.3.1.241",
}

// randomSubject is a name with a CN, as often as not between others, and with
// everything in it that has a meaning in some form of a distinguished name.
func randomSubject(r *rand.Rand) []byte {
	attribute := func(oid string) pki.Attribute {
		as := []pki.StringType{pki.UTF8, pki.UTF8, pki.UTF8, pki.Printable, pki.IA5, pki.T61, pki.BMP, pki.Numeric}[r.IntN(8)]
		return pki.Attribute{Type: oid, Text: randomText(r, as), As: as}
	}
	var name []pki.RDN
	for range r.IntN(4) {
		rdn := pki.RDN{attribute(attributeTypes[r.IntN(len(attributeTypes))])}
		for r.IntN(5) == 0 {
			rdn = append(rdn, attribute(attributeTypes[r.IntN(len(attributeTypes))]))
		}
		name = append(name, rdn)
	}
	for range 1 + r.IntN(8)/7 {
		rdn := pki.RDN{attribute(pki.CN)}
		if r.IntN(6) == 0 {
			rdn = append(rdn, attribute(attributeTypes[r.IntN(len(attributeTypes))]))
		}
		if r.IntN(12) == 0 {
			r.Shuffle(len(rdn), func(i, j int) { rdn[i], rdn[j] = rdn[j], rdn[i] })
		}
		at := len(name)
		if r.IntN(3) == 0 {
			at = r.IntN(len(name) + 1)
		}
		name = append(name[:at:at], append([]pki.RDN{rdn}, name[at:]...)...)
	}
	return pki.Subject(name...)
}

// randomText is what a string type can hold, without control characters.
func randomText(r *rand.Rand, as pki.StringType) string {
	const (
		ascii   = `abcXYZ019 ,,++==""\\<>;#@_*/{}CN=CN= `
		latin1  = ascii + "éßÀ\u00a0"
		plane0  = latin1 + "e\u0308\u0301漢אΩ\u202e\u200b\ufeffİıẞ"
		unicode = plane0 + "😀𝔸"
	)
	alphabet := []rune(map[pki.StringType]string{
		pki.Printable: `abcXYZ019 ,+=':()/?.-`,
		pki.Numeric:   `0123456789 `,
		pki.IA5:       ascii,
		pki.T61:       latin1,
		pki.BMP:       plane0,
		pki.UTF8:      unicode,
	}[as])
	var text strings.Builder
	for range r.IntN(10) {
		text.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return text.String()
}
