package integration

import (
	"flag"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pattern"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

var (
	patternsRandom = flag.Int("patterns-random", 5000, "how many random patterns are compared with Java's")
	patternsSeed   = flag.Uint64("patterns-seed", 8, "the seed of the random patterns")
)

// What a pattern finds is what Java finds, or the pattern does not compile.
func TestPatternsFindWhatJavaFinds(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		err = &realnode.MissingError{What: "java", How: "install a JDK"}
	}
	requireReal(t, err)

	r := rand.New(rand.NewPCG(*patternsSeed, 0))
	patterns := append([]string{}, patternsToCompare...)
	for range *patternsRandom {
		patterns = append(patterns, randomPattern(r, 3))
	}
	type question struct{ pattern, text string }
	var questions []question
	var input strings.Builder
	compiled := 0
	for i, p := range patterns {
		if _, err := pattern.Compile(p); err != nil || strings.ContainsFunc(p, unicode.IsControl) {
			continue
		}
		compiled++
		texts := textsToSearch
		if i >= len(patternsToCompare) {
			texts = []string{randomSubjectText(r), randomSubjectText(r), randomSubjectText(r)}
		}
		for _, text := range texts {
			questions = append(questions, question{p, text})
			input.WriteString(p + "\t" + text + "\n")
		}
	}
	command := exec.CommandContext(t.Context(), java, "testdata/Patterns.java")
	command.Stdin = strings.NewReader(input.String())
	output, err := command.Output()
	require.NoError(t, err)
	answers := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	require.Len(t, answers, len(questions))

	found := 0
	for i, q := range questions {
		re, err := pattern.Compile(q.pattern)
		require.NoError(t, err)
		got := "none"
		if match := re.FindStringSubmatch(q.text); match != nil {
			got = "=" + match[1]
			found++
		}
		assert.Equal(t, answers[i], got, "the pattern %q in the text %q", q.pattern, q.text)
	}
	t.Logf("%d of %d patterns compile, %d of %d texts have a name", compiled, len(patterns), found, len(questions))
	require.Greater(t, compiled, len(patterns)/10)
	require.Greater(t, found, len(questions)/10)
}

// patternsToCompare are what people write, and what the two have different ideas of.
var patternsToCompare = []string{
	"CN=(.*?)(?:,|$)", "CN=(.*?),", "UID=(.*?)(?:,|$)", "CN=([^,]+)", "cn=svc-([a-z0-9]+)", "EMAILADDRESS=(.*?)@", "(.+)",
	"^(.*)$", "CN=(.*)",
	"OU=(services)", "CN=(alic[e-k]+)", "CN=([^s]*)", "CN=([^a-k]*)", `CN=(\w+)`, `CN=(\W+)`, `CN=(\S+)`, `(\s)`, `(\d+)`,
	`(\D+)`, `CN=([\w.-]+)`, `CN=([^\w]+)`, `CN=([\W]+)`, `([^\s,]+)`, `([^\S]+)`,
	`CN=(\x41+)`, `CN=(\x{61}+)`, `CN=(\u0061+)`, `CN=(\Qa.b\E)`, `CN=(a)\Q.b`, `CN=(\Q*\E+)`, `CN=(a\.b)`, `CN=(\*)`,
	`CN=(\-\_\@)`,
	"(?-i)cn=(.*)", "(?-i:CN)=(alice)", "CN=(?i:A)(lice)", "(?:(?-i)CN|cn)=(.*)", "(?s)CN=(.*)", "(?m)^CN=(.*?)$",
	"(?<name>CN)=(.*)", "CN=(?<name>[^,]*)",
	"CN=(a|)", "CN=(|a)", "CN=(a||b)", "(?:CN|UID)=(.*?)(?:,|$)", "CN=(a|al|alice)", "CN=(alice|al)", "CN=((?:(a)|l)+)",
	"((?:(a)|l|i)+)", "(a{2})", "(a{2,})", "(a{1,2}?)", "(l?i)", "(?:C(N)?)=",
	`CN=(.*)\z`, `CN=(.*)\Z`, `\ACN=(.*?),`, "CN=([a-])", "CN=([-a])", "CN=([a&]+)", "CN=([^^]+)", "CN=([a^]+)",
	"CN=([+--]+)", "CN=([!-~]+)", "CN=([@-_]+)", "CN=([Z-a]+)", "CN=([\u0130-\u0140]+)", "(\u00eb)", "(\u017f)",
	"(\u212a)", "(k)", "(s)", "([^k])", "([^k]+)$", "}(.*)", "CN=(.)(.*)",
}

// textsToSearch are subjects as Java prints them.
var textsToSearch = []string{
	"CN=alice", "CN=alice, OU=services, O=acme", "OU=\u017fervices, CN=alice", "CN=ALICE, O=Acme", "cn=alic\u212a",
	"CN=\u212a\u017f\u0130\u0131", `CN="Doe, John", O="Acme, Inc."`, "CN=bob + OU=eng", `O="x,CN=admin", CN=eve`,
	"CN=Zo\u00eb, UID=z1", "CN=ZO\u00cb", "CN=a.b", "CN=a*b", "CN=***", "CN=-_@", "CN=\u00a0alice", "CN=\U0001f600k",
	"CN=\u674e\u660e", "EMAILADDRESS=mail@example.com, CN=svc-mail", "", "}x", "CN=]a^&-", "CN=aal", "CN=lia, CN=aa",
	"CN=A\u0130k", "CN=\u1e9e\u00df",
}

// randomPattern is made of what a pattern can have in it, mostly of what compiles.
func randomPattern(r *rand.Rand, depth int) string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		atom := pick(r, "a", "b", "k", "s", "S", "K", "A", ",", "=", "CN=", "\u017f", "\u212a", "\u0131", ".", `\w`, `\W`,
			`\d`, `\s`, `\S`, "^", "$", `\.`, `\x41`, "[ab]", "[^ab]", "[a-k]", "[^a-k]", "[A-Z]", "[\\w,]", "[^\\w]", "[J-L]",
			"[@-_]", "[\u0130-\u0180]", "[a-]", `\Qa+\E`, "(?i)", "(?-i)")
		if depth > 0 && r.IntN(2) == 0 {
			atom = pick(r, "(", "(", "(?:", "(?-i:", "(?i:") + randomPattern(r, depth-1) +
				pick(r, "", "", "|", "|"+randomPattern(r, depth-1)) + ")"
		}
		b.WriteString(atom + pick(r, "", "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{1,}?"))
	}
	if depth == 3 && !strings.Contains(b.String(), "(") {
		return "(" + b.String() + ")"
	}
	return b.String()
}

func randomSubjectText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(10) {
		b.WriteString(pick(r, "a", "b", "k", "s", "A", "K", "S", "CN=", ", ", ",", "=", ".", "1", "_", "\u017f", "\u212a",
			"\u0131", "\u0130", "a+", "\u00eb", "\U0001f600"))
	}
	return b.String()
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }
