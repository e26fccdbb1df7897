package identity

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseTemplate(f *testing.F) {
	for _, s := range []string{
		"", "text", "{cert.cn}", "{cert.o}/{cert.ou}", "user-{cert.cn}@{env.DOMAIN}", "Bearer {jwt}",
		"{file./run/secrets/x}",
		`\{cert.cn\}`, "{cert.issuer.cn}", "{cert.dn}", "{", "}", "{}", "{{cert.cn}}", "{http.request.uri}",
		"{http.request.uri.path.file.x}", "{cert.", `\`, `\\{cert.cn}`, "{cert.cn", "{env.{cert.cn}}", "a\x00b",
		"{jwt}{jwt}",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	const secret = "resolved-secret-value"
	f.Fuzz(func(t *testing.T, s string, allowJWT bool) {
		resolved := 0
		parsed, err := parseTemplate(s, allowJWT, func(placeholder string) (string, error) {
			require.Regexp(t, `^\{(env|file)\.`, placeholder)
			require.Contains(t, s, placeholder)
			resolved++
			return secret, nil
		})
		if err != nil {
			if !strings.Contains(s, secret) {
				require.NotContains(t, err.Error(), secret, "a secret in an error")
			}
			return
		}
		require.False(t, parsed.hasJWT() && !allowJWT)
		require.Equal(t, !parsed.isStatic(), strings.Contains(s, "{jwt}") && parsed.hasJWT() || hasValue(parsed))
		for _, p := range parsed.parts {
			kinds := 0
			for _, is := range []bool{p.text != "", p.value != nil, p.jwt} {
				if is {
					kinds++
				}
			}
			require.Equal(t, 1, kinds, "a part is one thing")
		}
		if !strings.ContainsAny(s, `{\`) {
			values, err := parsed.values(nil)
			require.NoError(t, err)
			require.Equal(t, []string{s}, values, "text is itself")
		}
		if parsed.isStatic() {
			values, err := parsed.values(nil)
			require.NoError(t, err)
			require.Len(t, values, 1)
			require.GreaterOrEqual(t, strings.Count(values[0], secret), resolved)
		}
	})
}

func hasValue(t template) bool {
	for _, p := range t.parts {
		if p.value != nil {
			return true
		}
	}
	return false
}
