package apikey

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADescriptorGrantsSomething(t *testing.T) {
	tests := map[string]struct {
		content, want, problem string
		limited                bool
	}{
		"cluster": {content: `{"cluster":["monitor"]}`, want: `{"cluster":["monitor"]}`},
		"one name": {
			content: `{"indices":[{"names":"a","privileges":["read"]}]}`,
			want:    `{"indices":[{"names":["a"],"privileges":["read"]}]}`,
		},
		"index and indices": {
			content: `{"index":[{"names":["b"],"privileges":["read"]}],"indices":[{"names":["a"],"privileges":["all"],"allow_restricted_indices":true}]}`,
			want:    `{"indices":[{"names":["a"],"privileges":["all"],"allow_restricted_indices":true},{"names":["b"],"privileges":["read"]}]}`,
		},
		"as GET /_security/role has it": {
			content: "\ufeff" + `{"cluster":["monitor"],"indices":[],"applications":[],"run_as":[],"metadata":{},"transient_metadata":{"enabled":true}}`,
			want:    `{"cluster":["monitor"]}`,
		},
		"applications": {
			content: `{"applications":[{"application":"kibana-.kibana","privileges":["read"],"resources":["*"]}]}`,
			want:    `{"applications":[{"application":"kibana-.kibana","privileges":["read"],"resources":["*"]}]}`,
		},
		"document security": {
			content: `{"indices":[{"names":["a"],"privileges":["read"],"query":{"range":{"n":{"lt":12345678901234567890}}}}]}`,
			want:    `{"indices":[{"names":["a"],"privileges":["read"],"query":{"range":{"n":{"lt":12345678901234567890}}}}]}`,
			limited: true,
		},
		"field security": {
			content: `{"indices":[{"names":["a"],"privileges":["read"],"field_security":{"grant":["b"]}}]}`,
			want:    `{"indices":[{"names":["a"],"privileges":["read"],"field_security":{"grant":["b"]}}]}`,
			limited: true,
		},
		"empty document security": {
			content: `{"indices":[{"names":["a"],"privileges":["read"],"query":"","field_security":null}]}`,
			want:    `{"indices":[{"names":["a"],"privileges":["read"]}]}`,
		},
		"other members": {
			content: `{"cluster":["monitor"],"global":{"application":{}},"restriction":{"workflows":["x"]},"description":"d","metadata":{"a":1}}`,
			want:    `{"cluster":["monitor"],"global":{"application":{}},"restriction":{"workflows":["x"]},"metadata":{"a":1}}`,
		},

		"nothing":              {content: "", problem: "it is empty"},
		"an empty object":      {content: "{}", problem: "it grants nothing"},
		"empty lists":          {content: `{"cluster":[],"indices":[],"global":{}}`, problem: "it grants nothing"},
		"a description":        {content: `{"description":"x"}`, problem: "it grants nothing"},
		"null":                 {content: `null`, problem: "it grants nothing"},
		"an array":             {content: `[{"cluster":["all"]}]`, problem: "it is no JSON object"},
		"a text":               {content: `all`, problem: "it is no JSON object"},
		"two objects":          {content: `{"cluster":["a"]} {}`, problem: "it is no JSON object"},
		"several descriptors":  {content: `{"ops":{"cluster":["monitor"]},"dev":{"cluster":["all"]}}`, problem: `under a name, "dev"`},
		"role_descriptors":     {content: `{"role_descriptors":{"a":{"cluster":["monitor"]}}}`, problem: "unknown field"},
		"run_as":               {content: `{"cluster":["monitor"],"run_as":["alice"]}`, problem: "clients could be other users"},
		"RUN_AS":               {content: `{"cluster":["monitor"],"RUN_AS":["alice"]}`, problem: "clients could be other users"},
		"a misspelt member":    {content: `{"clusters":["monitor"]}`, problem: "unknown field"},
		"a member twice":       {content: `{"cluster":["a"],"cluster":["b"]}`, problem: "twice"},
		"an unknown member":    {content: `{"indices":[{"names":["a"],"privileges":["read"],"fields":[]}]}`, problem: "unknown field"},
		"no names":             {content: `{"indices":[{"privileges":["read"]}]}`, problem: "entry 1 must have names"},
		"no privileges":        {content: `{"indices":[{"names":["a"],"privileges":[]}]}`, problem: "entry 1 must have names"},
		"an empty name":        {content: `{"indices":[{"names":[""],"privileges":["read"]}]}`, problem: "entry 1 must have names"},
		"an empty privilege":   {content: `{"cluster":[""]}`, problem: "a privilege is empty"},
		"no resources":         {content: `{"applications":[{"application":"a","privileges":["b"]}]}`, problem: "entry 1 must have an application"},
		"reserved metadata":    {content: `{"cluster":["a"],"metadata":{"_a":1}}`, problem: "underscore"},
		"a name that is wrong": {content: `{"indices":[{"names":7,"privileges":["read"]}]}`, problem: "it is no role descriptor"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseDescriptor([]byte(test.content))
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(got.json))
			require.Equal(t, test.limited, got.limited)
		})
	}
}

// FuzzParseDescriptor: what is taken grants something, lets nobody run as others, and is taken again as the same.
func FuzzParseDescriptor(f *testing.F) {
	f.Add(`{"cluster":["monitor"],"indices":[{"names":"a","privileges":["read"],"query":"{}"}]}`)
	f.Add(`{"run_as":["a"],"cluster":["x"]}`)
	f.Add(`{"a":{"cluster":[]}}`)
	f.Add(`{"remote_indices":[{"query":"x"}],"global":{"a":1},"restriction":{}}`)
	f.Fuzz(func(t *testing.T, content string) {
		parsed, err := parseDescriptor([]byte(content))
		if err != nil {
			require.Empty(t, parsed.json)
			return
		}
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(parsed.json, &members))
		require.NotContains(t, members, "run_as")
		grants := 0
		for _, name := range []string{"cluster", "indices", "applications", "global", "remote_indices", "remote_cluster"} {
			if _, ok := members[name]; ok {
				grants++
			}
		}
		require.Positive(t, grants)
		again, err := parseDescriptor(parsed.json)
		require.NoError(t, err)
		require.Equal(t, string(parsed.json), string(again.json))
		require.Equal(t, parsed.limited, again.limited)
	})
}
