package routes_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/routes"
)

// lookAt looks at a server with these routes, in JSON. one is a named route.
func lookAt(t *testing.T, list, one string) *routes.Map {
	t.Helper()
	var parsedList, parsedOne any
	require.NoError(t, json.Unmarshal([]byte(list), &parsedList))
	require.NoError(t, json.Unmarshal([]byte(one), &parsedOne))
	return routes.Look(provision(t, object{"s": object{
		"listen": []string{"127.0.0.1:0"}, "automatic_https": object{"disable": true},
		"routes": parsedList, "named_routes": object{"one": parsedOne},
	}}), modules)
}

const (
	doorJSON  = `{"handler":"test_door","id":1}`
	oursJSON  = `{"handler":"reverse_proxy","upstreams":[{"dial":"a:1"}],"transport":{"protocol":"test_wire","ok":true}}`
	plainJSON = `{"handler":"reverse_proxy","upstreams":[{"dial":"a:1"}]}`
	never     = `"match":[{"path":["/never"]}],`
)

// TestAHandlerKnowsWhatIsBehindIt: only if every reverse_proxy sets the headers itself, the handler need not.
func TestAHandlerKnowsWhatIsBehindIt(t *testing.T) {
	for name, tt := range map[string]struct {
		routes, one          string
		delivered, ownErrors bool
	}{
		"the transport":     {`[{"handle":[` + doorJSON + `,` + oursJSON + `]}]`, `{}`, true, false},
		"another transport": {`[{"handle":[` + doorJSON + `,` + plainJSON + `]}]`, `{}`, false, false},
		"nothing":           {`[{"handle":[` + doorJSON + `]}]`, `{}`, false, false},
		"both": {
			`[{"handle":[` + doorJSON + `]},{` + never + `"handle":[` + plainJSON + `]},{"handle":[` + oursJSON + `]}]`,
			`{}`, false, false,
		},
		"another, not behind it": {
			`[{` + never + `"terminal":true,"handle":[` + doorJSON + `,` + oursJSON + `]},{"handle":[` + plainJSON + `]}]`,
			`{}`, true, false,
		},
		"another, in a named one": {
			`[{"handle":[` + doorJSON + `,{"handler":"invoke","name":"one"},` + oursJSON + `]}]`,
			`{` + never + `"handle":[` + plainJSON + `]}`, false, false,
		},
		"another, after an answer that nothing is done with": {
			`[{"handle":[` + doorJSON + `,{"handler":"reverse_proxy","upstreams":[{"dial":"b:1"}],` +
				`"transport":{"protocol":"test_wire","ok":true},"handle_response":[{}]},` + plainJSON + `]}]`, `{}`, false, false,
		},
		"another, not after an answer whose status is replaced": {
			`[{"handle":[` + doorJSON + `,{"handler":"reverse_proxy","upstreams":[{"dial":"b:1"}],` +
				`"transport":{"protocol":"test_wire","ok":true},"handle_response":[{"status_code":404}]},` + plainJSON + `]}]`,
			`{}`, true, false,
		},
		"another, after an error that nothing is done with": {
			`[{"handle":[` + doorJSON + `,{"handler":"subroute","routes":[{` + never + `"handle":[` + oursJSON + `]},` +
				`{"handle":[{"handler":"error"}]}],"errors":{}},` + plainJSON + `]}]`, `{}`, false, false,
		},
		"another, after Early Hints": {
			`[{"handle":[` + doorJSON + `]},{` + never + `"handle":[` + oursJSON + `]},` +
				`{"handle":[{"handler":"static_response","status_code":"0103"},` + plainJSON + `]}]`,
			`{}`, false, false,
		},
		"own error routes": {
			`[{"handle":[{"handler":"subroute","routes":[{"handle":[` + doorJSON + `,` + oursJSON + `]}],` +
				`"errors":{"routes":[{"handle":[{"handler":"static_response"}]}]}}]}]`,
			`{}`, true, true,
		},
		"own error routes beside it": {
			`[{"handle":[{"handler":"subroute","routes":[],"errors":{"routes":[{"handle":[{"handler":"vars"}]}]}},` +
				doorJSON + `,` + oursJSON + `]}]`,
			`{}`, true, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := lookAt(t, tt.routes, tt.one)
			require.Len(t, m.Handlers, 1)
			require.Equal(t, tt.delivered, m.Handlers[0].Delivered())
			require.Equal(t, tt.ownErrors, m.Handlers[0].OwnErrors)
			require.True(t, m.Complete)
		})
	}
}

// TestANamedRouteThatInvokesItselfIsFollowedOnce.
func TestANamedRouteThatInvokesItselfIsFollowedOnce(t *testing.T) {
	m := lookAt(t, `[{"handle":[{"handler":"invoke","name":"one"},`+oursJSON+`]}]`,
		`{`+never+`"handle":[`+doorJSON+`,{"handler":"invoke","name":"one"}]}`)
	require.Len(t, m.Handlers, 1)
	require.Len(t, m.Proxies, 1)
	require.Equal(t, m.Handlers, m.Proxies[0].Behind())
	findings := m.Findings()
	require.False(t, slices.ContainsFunc(findings, func(f *routes.Finding) bool { return f.Wrong }))
	require.Len(t, findings, 2, "it can come to the handler again, and to the proxy without it")
}

// TestTheHandlersInFrontOfAProxyHaveAnOrder, so that the first of them is the same one each time.
func TestTheHandlersInFrontOfAProxyHaveAnOrder(t *testing.T) {
	for range 10 {
		m := lookAt(t, `[{`+never+`"handle":[`+doorJSON+`]},{`+never+`"handle":[`+doorJSON+`]},{"handle":[`+doorJSON+`]},`+
			`{`+never+`"handle":[`+doorJSON+`]},{"handle":[`+oursJSON+`]}]`, `{}`)
		require.Equal(t, m.Handlers[2:], m.Proxies[0].Behind())
	}
}

// TestWhatAnotherPluginDoesIsNotCertain: its handler may have a handler of ours inside, or send requests itself.
func TestWhatAnotherPluginDoesIsNotCertain(t *testing.T) {
	const strangerJSON = `{"handler":"test_stranger"}`
	m := lookAt(t, `[{"handle":[`+oursJSON+`]}]`, `{}`)
	require.Len(t, m.Findings(), 1)
	require.True(t, m.Findings()[0].Wrong)

	m = lookAt(t, `[{"handle":[`+strangerJSON+`,`+oursJSON+`]}]`, `{}`)
	require.False(t, m.Complete)
	require.Len(t, m.Findings(), 1)
	require.False(t, m.Findings()[0].Wrong)

	m = lookAt(t, `[{"handle":[`+strangerJSON+`,`+doorJSON+`,`+oursJSON+`]}]`, `{}`)
	require.True(t, m.Handlers[0].Delivered(), "it has gone before the handler sets anything")
	m = lookAt(t, `[{"handle":[`+doorJSON+`,`+strangerJSON+`,`+oursJSON+`]}]`, `{}`)
	require.False(t, m.Handlers[0].Delivered())
}

// TestAGroupCanBeTakenBeforeItsFirstRoute: what intercept runs, and error routes, come after routes that stand below
// them or elsewhere, which may have matched for their group.
func TestAGroupCanBeTakenBeforeItsFirstRoute(t *testing.T) {
	const skipped = `[{"group":"g","handle":[{"handler":"static_response"}]},{"handle":[` + oursJSON + `]}]`
	for name, list := range map[string]string{
		"in intercept": `[{"handle":[{"handler":"intercept","handle_response":[{"routes":` + skipped + `}]}]},` +
			`{"group":"g","handle":[{"handler":"vars"}]}]`,
		"in error routes": `[{"handle":[{"handler":"subroute","routes":[{"group":"g","handle":[{"handler":"error"}]}],` +
			`"errors":{"routes":` + skipped + `}}]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			m := lookAt(t, list, `{}`)
			require.Len(t, m.Findings(), 1, "a reverse_proxy that requests reach")
		})
	}
	require.Empty(t, lookAt(t, skipped, `{}`).Findings())
}

// TestARouteBehindATerminalOneIsNotReached.
func TestARouteBehindATerminalOneIsNotReached(t *testing.T) {
	m := lookAt(t, `[{"terminal":true,"handle":[{"handler":"vars"}]},{"handle":[`+doorJSON+`,`+oursJSON+`]}]`, `{}`)
	findings := m.Findings()
	require.Len(t, findings, 1)
	require.False(t, findings[0].Wrong)
	require.ErrorContains(t, findings[0], "server s: no request reaches elasticsearch_jwt, since an earlier route")
}
