package static

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
)

// FuzzParseFile: each credential of a file that is taken can be sent, and no error has a credential in it.
func FuzzParseFile(f *testing.F) {
	f.Add("analysts ApiKey essu_a\n# comment\nops Bearer b\n")
	f.Add("\"Acme, Inc.\"\tBasic YTpi\r\n")
	f.Add("\ufeffa ApiKey b")
	f.Add("a b\na ApiKey c\na ApiKey c")
	f.Fuzz(func(t *testing.T, content string) {
		parsed, err := parseFile([]byte(content))
		if err != nil {
			require.Empty(t, parsed)
			return
		}
		require.NotEmpty(t, parsed)
		seen := make(map[string]bool)
		for _, e := range parsed {
			require.NoError(t, checkGroup(e.group))
			require.False(t, seen[e.group])
			seen[e.group] = true
			requireCanBeSent(t, e.authorization)
		}
	})
}

// FuzzParseOne: as [FuzzParseFile], for one credential.
func FuzzParseOne(f *testing.F) {
	f.Add("ApiKey essu_a\n")
	f.Add("Authorization: Basic YTpi")
	f.Fuzz(func(t *testing.T, content string) {
		authorization, err := parseOne([]byte(content))
		if err != nil {
			require.Empty(t, authorization)
			if words := strings.Fields(content); len(words) > 1 && len(words[1]) > 20 {
				require.NotContains(t, err.Error(), words[1])
			}
			return
		}
		requireCanBeSent(t, authorization)
		again, err := parseOne([]byte(authorization))
		require.NoError(t, err)
		require.Equal(t, authorization, again)
	})
}

func requireCanBeSent(t *testing.T, authorization string) {
	t.Helper()
	words := strings.Split(authorization, " ")
	require.Len(t, words, 2)
	require.True(t, httpguts.ValidHeaderFieldName(words[0]))
	require.NotEmpty(t, words[1])
	require.True(t, httpguts.ValidHeaderFieldValue(authorization))
}
