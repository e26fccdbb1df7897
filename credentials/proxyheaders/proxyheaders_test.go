package proxyheaders_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/credentials/proxyheaders"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

const notAfter = 1_900_000_000

func provisioned(t testing.TB, p proxyheaders.ProxyHeaders) *proxyheaders.ProxyHeaders {
	t.Helper()
	require.NoError(t, p.Provision(caddy.Context{}))
	return &p
}

func client(principal string, groups ...string) *credential.Client {
	return &credential.Client{Principal: principal, Groups: groups, NotAfter: notAfter}
}

// headersOf is what is sent for a client.
func headersOf(t *testing.T, p *proxyheaders.ProxyHeaders, c *credential.Client) []credential.Header {
	t.Helper()
	plan, err := p.Plan(c)
	require.NoError(t, err)
	made, err := p.Make(t.Context(), c, plan, nil)
	require.NoError(t, err)
	require.Equal(t, &credential.Credential{Headers: made.Headers, Until: notAfter, RenewAt: notAfter}, made)
	return made.Headers
}

func TestAClientIsSentInTwoHeaders(t *testing.T) {
	tests := map[string]struct {
		settings proxyheaders.ProxyHeaders
		client   *credential.Client
		want     []credential.Header
	}{
		"a group": {
			client: client("alice", "analysts"),
			want:   []credential.Header{{Name: "X-Proxy-User", Value: "alice"}, {Name: "X-Proxy-Roles", Value: "analysts"}},
		},
		"groups in another order, and twice": {
			client: client("Alice Smith", "ops", "analysts", "ops"),
			want: []credential.Header{
				{Name: "X-Proxy-User", Value: "Alice Smith"}, {Name: "X-Proxy-Roles", Value: "analysts,ops"},
			},
		},
		"no group": {
			client: client("spiffe://example.org/a"),
			want:   []credential.Header{{Name: "X-Proxy-User", Value: "spiffe://example.org/a"}},
		},
		"other names": {
			settings: proxyheaders.ProxyHeaders{UserHeader: "x-user", RolesHeader: "X-ROLES", RolesSeparator: ";"},
			client:   client("alice", "Acme, Inc.", "a"),
			want:     []credential.Header{{Name: "X-User", Value: "alice"}, {Name: "X-Roles", Value: "Acme, Inc.;a"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := provisioned(t, test.settings)
			require.Equal(t, test.want, headersOf(t, p, test.client))
			for _, h := range test.want {
				require.Contains(t, p.Sets(), h.Name)
			}
			require.Len(t, p.Sets(), 2, "also of a client without a group: it must not set one itself")
			require.Zero(t, p.Version())

			explained, err := p.Explain(test.client)
			require.NoError(t, err)
			require.Equal(t, "proxy_headers", explained.Kind)
			require.Len(t, explained.Sends, len(test.want))
			for i, h := range test.want {
				require.Equal(t, h.Name+": "+h.Value, explained.Sends[i])
			}
			require.Contains(t, strings.Join(explained.Needs, "\n"), "roles_header: "+p.RolesHeader)
		})
	}
}

func TestANameThatOpenSearchReadsAsAnotherIsRefused(t *testing.T) {
	tests := map[string]*credential.Client{
		"no name":                client("", "analysts"),
		"not ASCII":              client("Zoë", "analysts"),
		"a blank before":         client(" alice", "analysts"),
		"a blank after":          client("alice ", "analysts"),
		"a line end":             client("alice\r\nx-proxy-roles: admin", "analysts"),
		"a tab":                  client("alice\t", "analysts"),
		"NUL":                    client("alice\x00", "analysts"),
		"the separator":          client("alice", "analysts,admins"),
		"the separator alone":    client("alice", ","),
		"a group not ASCII":      client("alice", "Größe"),
		"a group with a blank":   client("alice", "admins "),
		"a group without a name": client("alice", "analysts", ""),
	}
	p := provisioned(t, proxyheaders.ProxyHeaders{})
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := p.Plan(c)
			refusal := credential.AsRefusal(err)
			require.Equal(t, credential.InvalidName, refusal.Problem)
			require.Error(t, refusal.Cause)
			for _, text := range append(slices.Clone(c.Groups), c.Principal) {
				if len(text) > 1 {
					require.NotContains(t, err.Error(), text)
				}
			}
			_, explained := p.Explain(c)
			require.Equal(t, err, explained)
		})
	}
}

func TestClientsWithEqualNamesAndGroupsShareAPlan(t *testing.T) {
	p := provisioned(t, proxyheaders.ProxyHeaders{})
	key := func(c *credential.Client) string {
		plan, err := p.Plan(c)
		require.NoError(t, err)
		return plan.Key
	}
	require.Equal(t, key(client("alice", "a", "b")), key(client("alice", "b", "a")))
	require.NotEqual(t, key(client("alice", "a")), key(client("alice", "b")))
	require.NotEqual(t, key(client("alice", "a")), key(client("bob", "a")))
	require.NotEqual(t, key(client("alice")), key(client("alice", "a")))
	require.NotEqual(t, key(client(`a" "b`)), key(client("a", `b`)))
}

// splitByOpenSearch reads the header with the groups as HTTPProxyAuthenticator of OpenSearch does.
func splitByOpenSearch(t *testing.T, value, separator string) []string {
	t.Helper()
	var groups []string
	for _, part := range regexp.MustCompile(separator).Split(value, -1) {
		if part = strings.TrimSpace(part); part != "" {
			groups = append(groups, part)
		}
	}
	return groups
}

// FuzzRoles: OpenSearch reads the groups of the client, and no others.
func FuzzRoles(f *testing.F) {
	f.Add("alice", "analysts", "ops", ",")
	f.Add("alice", "Acme, Inc.", "a", ";")
	f.Add("alice", "a", "b", "|")
	f.Fuzz(func(t *testing.T, principal, a, b, separator string) {
		p := proxyheaders.ProxyHeaders{RolesSeparator: separator}
		if p.Provision(caddy.Context{}) != nil {
			return
		}
		c := client(principal, a, b)
		if _, err := p.Plan(c); err != nil {
			return
		}
		headers := headersOf(t, &p, c)
		require.Equal(t, principal, headers[0].Value)
		require.Equal(t, principal, strings.TrimSpace(principal))
		require.Equal(t, credential.SortedGroups(c.Groups), splitByOpenSearch(t, headers[1].Value, p.RolesSeparator))
	})
}

func TestEverySeparatorThatIsTakenSeparates(t *testing.T) {
	taken := ""
	for c := range 256 {
		p := proxyheaders.ProxyHeaders{RolesSeparator: string(rune(c))}
		if p.Provision(caddy.Context{}) != nil {
			continue
		}
		taken += p.RolesSeparator
		headers := headersOf(t, &p, client("alice", "a b", "x"))
		require.Equal(t, []string{"a b", "x"}, splitByOpenSearch(t, headers[1].Value, p.RolesSeparator))
	}
	require.Equal(t, `!"#%&',-/:;<=>@_`+"`~", taken)
}

func TestSettingsThatAreWrongAreErrors(t *testing.T) {
	tests := map[string]struct {
		settings proxyheaders.ProxyHeaders
		problem  string
	}{
		"no name":                {proxyheaders.ProxyHeaders{UserHeader: "x user"}, "user_header: \"x user\" is not a header name"},
		"a colon":                {proxyheaders.ProxyHeaders{RolesHeader: "x-roles:"}, "roles_header: \"x-roles:\" is not"},
		"Authorization":          {proxyheaders.ProxyHeaders{UserHeader: "authorization"}, "Authorization has another meaning"},
		"Connection":             {proxyheaders.ProxyHeaders{UserHeader: "Connection"}, "another meaning"},
		"Host":                   {proxyheaders.ProxyHeaders{RolesHeader: "host"}, "another meaning"},
		"X-Forwarded-For":        {proxyheaders.ProxyHeaders{UserHeader: "x-forwarded-for"}, "another meaning"},
		"X-Forwarded-User":       {proxyheaders.ProxyHeaders{UserHeader: "x-forwarded-user"}, "another meaning"},
		"one header for both":    {proxyheaders.ProxyHeaders{UserHeader: "x-a", RolesHeader: "X-A"}, "use two headers"},
		"nearly one header":      {proxyheaders.ProxyHeaders{UserHeader: "x-a", RolesHeader: "x_a"}, "use two headers"},
		"the default of another": {proxyheaders.ProxyHeaders{UserHeader: "x-proxy-roles"}, "use two headers"},
		"two characters":         {proxyheaders.ProxyHeaders{RolesSeparator: ", "}, "write one character"},
		"a letter":               {proxyheaders.ProxyHeaders{RolesSeparator: "a"}, "write one character"},
		"a blank":                {proxyheaders.ProxyHeaders{RolesSeparator: " "}, "write one character"},
		"not ASCII":              {proxyheaders.ProxyHeaders{RolesSeparator: "§"}, "write one character"},
		"an alternative":         {proxyheaders.ProxyHeaders{RolesSeparator: "|"}, "has a meaning in a regular expression"},
		"any character":          {proxyheaders.ProxyHeaders{RolesSeparator: "."}, "has a meaning in a regular expression"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, test.settings.Provision(caddy.Context{}), test.problem)
		})
	}
}

func TestCaddyfile(t *testing.T) {
	tests := map[string]struct{ text, want, problem string }{
		"the defaults": {"proxy_headers", `{}`, ""},
		"no settings":  {"proxy_headers {\n}", `{}`, ""},
		"all settings": {
			"proxy_headers {\nuser_header x-user\nroles_header x-roles\nroles_separator ;\n}",
			`{"user_header":"x-user","roles_header":"x-roles","roles_separator":";"}`, "",
		},
		"an argument":    {"proxy_headers x", "", `takes no "x"`},
		"a typing error": {"proxy_headers {\nuser x\n}", "", "unknown setting"},
		"twice":          {"proxy_headers {\nuser_header a\nuser_header b\n}", "", "user_header is there twice"},
		"a bad name":     {"proxy_headers {\n\nuser_header Host\n}", "", "at Testfile:3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var p proxyheaders.ProxyHeaders
			err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.text))
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			raw, err := json.Marshal(p)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(raw))
		})
	}
}
