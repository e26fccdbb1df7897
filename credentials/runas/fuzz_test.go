package runas

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
)

// FuzzParseKey: what is taken is an API key that a header can carry, and nothing else.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte("ApiKey " + base64.StdEncoding.EncodeToString([]byte("id:secret")) + "\n"))
	f.Add([]byte("user:password"))
	f.Add([]byte("Bearer AAEAAWVsYXN0aWM"))
	f.Add([]byte("apikey:x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		key, err := parseKey(content)
		if err != nil {
			return
		}
		require.Equal(t, cluster.APIKey, key.Scheme())
		require.Regexp(t, `^ApiKey [A-Za-z0-9+/]+=*$`, key.Authorization())
	})
}

// FuzzParseGrants: a key that has more than run_as is never taken for one that has not.
func FuzzParseGrants(f *testing.F) {
	f.Add(`{"r":{"run_as":["edge-*"],"cluster":[]}}`)
	f.Add(`{"r":{"run_as":["*"],"indices":[{"names":["*"],"privileges":["all"]}]}}`)
	f.Add(`{}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, descriptors string) {
		g, err := parseGrants([]byte(`{"api_keys":[{"id":"x","role_descriptors":`+descriptors+`}]}`), "x")
		if err != nil {
			require.Nil(t, g)
			return
		}
		_ = g.reaches()
		v := new(verdict)
		v.grants = g
		v.weigh(nil)
		require.Equal(t, g.owner || len(g.more) > 0 || len(g.runAs) == 0, v.refusal != nil)
	})
}

// FuzzCheckName: a name that is taken goes through a header as it is.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"alice", "CN=a,O=b", "_x", " a", "Zoë", "elastic"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		require.Equal(t, strings.TrimSpace(name), name)
		require.NotEmpty(t, name)
		require.LessOrEqual(t, len(name), longestName)
		require.NotContains(t, reserved, name)
	})
}

func TestPatternsOfNames(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "elastic", true},
		{"edge-*", "edge-analysts", true},
		{"edge-*", "elastic", false},
		{"e?astic", "elastic", true},
		{"e.astic", "elastic", false},
		{`a\*`, "ab", false},
		{`a\*`, "a*", true},
		{"/e.*/", "elastic", true},
		{"/edge-[a-z]+/", "elastic", false},
		{"/~(alice)/", "elastic", true}, // of Lucene alone
		{"/[/", "elastic", true},        // of nobody
		{"", "elastic", false},
	} {
		require.Equal(t, c.want, matches(c.pattern, c.name), fmt.Sprint(c))
	}
	g := &grants{runAs: []string{"edge-*", "kibana*"}}
	require.Equal(t, []string{"kibana", "kibana_system"}, g.reaches())
}

func TestWhatIsNoAnswerAboutTheKeyIsAnError(t *testing.T) {
	for _, answer := range []string{
		``, `[]`, `{}`, `{"api_keys":[]}`, `{"api_keys":[{"id":"y","role_descriptors":{}}]}`,
		`{"api_keys":[{"id":"x","role_descriptors":{"r":{"run_as":"*"}}}]}`,
		`{"api_keys":[{"id":"x"},{"id":"x"}]}`,
	} {
		_, err := parseGrants([]byte(answer), "x")
		require.Error(t, err, answer)
	}
}
