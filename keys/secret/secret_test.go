package secret

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzParseHMACSecret: what is taken is one line, as Elasticsearch's keystore reads it.
func FuzzParseHMACSecret(f *testing.F) {
	f.Add([]byte("hunter2hunter2hunter2hunter2hunter2\n"), false)
	f.Add([]byte("several\nlines"), false)
	f.Add([]byte("aHVudGVyMg==\r\n"), true)
	f.Add([]byte("\ufeffhunter2"), false)
	f.Add([]byte("\xff\xfeh\x00"), false)
	f.Fuzz(func(t *testing.T, content []byte, base64url bool) {
		encoding := encodingText
		if base64url {
			encoding = encodingBase64URL
		}
		secret, err := parseHMACSecret(content, encoding)
		if err != nil {
			require.Empty(t, secret)
			return
		}
		line := strings.TrimRight(string(content), "\r\n")
		require.NotContains(t, line, "\n")
		if !base64url {
			require.Equal(t, line, string(secret))
			require.True(t, utf8.Valid(secret))
		}
	})
}
