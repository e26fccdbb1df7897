package esjwt_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTwoHandlersInOneChainWriteOneMember of the access log: a line with a name twice is no JSON that
// a reader can rely on (RFC 8259 section 4). The last decision counts.
func TestTwoHandlersInOneChainWriteOneMember(t *testing.T) {
	two := strings.Replace(minimal, "reverse_proxy", `log
	route {
		elasticsearch_jwt {
			issuer   https://second.example.com
			audience es
			{{second}}
		}
		reverse_proxy`, 1)
	two = strings.TrimSuffix(two, "}\n") + "}\n}\n"
	// If it were certain that there are two of them, Caddy would not load them.
	first := "	elasticsearch_jwt {\n		issuer   https://es"
	two = strings.NewReplacer(first, "	route /* {\n"+first,
		"		{{settings}}\n	}\n", "	}\n	}\n").Replace(two)
	for name, tt := range map[string]struct {
		second, member string
		status         int
	}{
		"both let it in": {"", `"elasticsearch_jwt":{"kid":`, http.StatusOK},
		"the second refuses it": {
			"required_claim uid {cert.uid}", `"elasticsearch_jwt":{"reason":"no_claim","certificate_serial":`,
			http.StatusForbidden,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, two, "{{second}}", tt.second)
			require.Equal(t, tt.status, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
			access := ""
			eventually(t, func() bool {
				for line := range strings.Lines(s.logs.String()) {
					if strings.Contains(line, `"http.log.access`) {
						access = line
					}
				}
				return access != ""
			}, "a line of the access log")
			require.Equal(t, 1, strings.Count(access, `"elasticsearch_jwt"`), access)
			require.Contains(t, access, tt.member)
		})
	}
}

// TestInstantsInTheLogCanBeRead: they are RFC 3339 text, and none is the zero of a type.
func TestInstantsInTheLogCanBeRead(t *testing.T) {
	s := newScene(t, "")
	s.get(s.httpClient(s.clients.client("alice")), "/")
	s.load(strings.Replace(ecSite, "{{settings}}", "", 1), s.replacements()...)
	s.get(s.httpClient(s.clients.client("alice")), "/")
	eventually(t, func() bool { return strings.Contains(s.logs.String(), "algorithm and size that are configured") },
		"a warning")
	ours := 0
	for line := range strings.Lines(s.logs.String()) {
		if !strings.Contains(line, "elasticsearch_jwt") {
			continue
		}
		ours++
		line = strings.TrimSpace(regexp.MustCompile(`"ts":[\d.]+,`).ReplaceAllString(line, ""))
		require.NotRegexp(t, `[:\[]1\d{9}[.,}]`, line, "a bare Unix time")
		require.NotContains(t, line, "<nil>")
		require.NotContains(t, line, "0001-01-01")
	}
	logs := s.logs.String()
	require.Positive(t, ours)
	for _, instants := range []string{
		`"token signed".*"not_before":"20\d\d-\d\d-\d\dT.*Z","expires":"20\d\d-`,
		`"signing key created".*"created":"20\d\d-`,
		`algorithm and size that are configured.*"from":"20\d\d-`,
	} {
		require.True(t, regexp.MustCompile(instants).MatchString(logs), instants)
	}
}
