package site

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/stretchr/testify/require"
)

// policyOf returns the policy that Caddy chooses for a host, found by asking one after the other.
func policyOf(policies caddytls.ConnectionPolicies, host string) *caddytls.ConnectionPolicy {
	for _, policy := range policies {
		names, _ := serverNames(policy)
		if names == nil || host != "" && (namedPolicy{names: names}).matches(host) {
			return policy
		}
	}
	return nil
}

// FuzzPoliciesAreFoundAsCaddyFindsThem: each line has the names of a policy.
func FuzzPoliciesAreFoundAsCaddyFindsThem(f *testing.F) {
	f.Add("a.example.com b.example.com\n*.example.com\n", "a.example.com")
	f.Add("*.example.com\na.example.com\n", "a.example.com")
	f.Add("*.*.com\nA.Example.com\n\n", "a.EXAMPLE.com")
	f.Add("a\n\nb", "b")
	f.Add("a", "")
	f.Add("bücher.example\n*.xn--bcher-kva.example\n", "www.bücher.example")
	f.Add("xn--bcher-kva.example", "bücher.example")
	f.Add("bücher.example", "xn--bcher-kva.example")
	f.Add("{env.NOTHING}a\n[::1]\n*\n::1", "::1")
	f.Add("a..b\n*..b", "x..b")
	f.Fuzz(func(t *testing.T, lines, host string) {
		var policies caddytls.ConnectionPolicies
		for line := range strings.Lines(lines) {
			policy := new(caddytls.ConnectionPolicy)
			if names := strings.Fields(line); len(names) > 0 {
				raw, err := json.Marshal(names)
				require.NoError(t, err)
				policy.MatchersRaw = map[string]json.RawMessage{"sni": raw}
			}
			policies = append(policies, policy)
		}
		found, ok := indexPolicies(policies).site(host)
		require.Equal(t, len(host) <= 254, ok)
		if !ok {
			return
		}
		require.Same(t, policyOf(policies, host), found.policy)
		require.Equal(t, host, found.host)
	})
}

// TestAPolicyWithAnotherMatcherHidesThoseBehindIt: it cannot be told whether Caddy would choose it.
func TestAPolicyWithAnotherMatcherHidesThoseBehindIt(t *testing.T) {
	matching := func(matcher, settings string) *caddytls.ConnectionPolicy {
		return &caddytls.ConnectionPolicy{MatchersRaw: map[string]json.RawMessage{matcher: json.RawMessage(settings)}}
	}
	index := indexPolicies(caddytls.ConnectionPolicies{
		matching("sni", `["a"]`),
		matching("remote_ip", `{"ranges":["127.0.0.1"]}`),
		matching("sni", `["b"]`),
	})
	_, ok := index.site("a")
	require.True(t, ok)
	for _, host := range []string{"b", ""} {
		_, ok = index.site(host)
		require.False(t, ok, host)
	}
}

// TestALongServerNameCostsNothing: before anybody knows who a client is, it can name a host of 64 KiB, for which there
// were 2 GB of wildcards when the handshake failed.
func TestALongServerNameCostsNothing(t *testing.T) {
	index := indexPolicies(caddytls.ConnectionPolicies{{MatchersRaw: map[string]json.RawMessage{"sni": []byte(`["*.b"]`)}}})
	longest, tooLong := strings.Repeat("a", 251)+".b", strings.Repeat("a.", 30_000)+"b"
	found, ok := index.site(longest)
	require.True(t, ok)
	require.NotNil(t, found.policy)
	require.Zero(t, testing.AllocsPerRun(1, func() {
		_, ok = index.site(tooLong)
		require.False(t, ok)
	}))
}
