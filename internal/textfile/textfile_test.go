package textfile_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

func TestOnlyAByteOrderMarkIsTakenAway(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"nothing":             {"", ""},
		"a text":              {"-----BEGIN", "-----BEGIN"},
		"a mark alone":        {"\ufeff", ""},
		"a text after a mark": {"\ufeff{}", "{}"},
		"a mark in a text":    {"a\ufeff", "a\ufeff"},
		"two marks":           {"\ufeff\ufeffa", "\ufeffa"},
		"half a mark":         {"\xef\xbb", "\xef\xbb"},
		"DER":                 {"\x30\x82\x01\x00", "\x30\x82\x01\x00"},
		"one byte":            {"\xff", "\xff"},
		"zeros":               {"\x00\x00", "\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := textfile.Decode([]byte(c.content))
			require.NoError(t, err)
			require.Equal(t, c.want, string(text))
		})
	}
}

func TestUTF16IsNamed(t *testing.T) {
	for name, content := range map[string]string{
		"little-endian":                "\xff\xfe-\x00-\x00",
		"big-endian":                   "\xfe\xff\x00-\x00-",
		"little-endian without a mark": "{\x00}\x00",
		"big-endian without a mark":    "\x00{\x00}",
		"only a mark":                  "\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := textfile.Decode([]byte(content))
			require.ErrorIs(t, err, textfile.ErrUTF16)
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\ufeff-----BEGIN"))
	f.Add([]byte("\xff\xfe-\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		text, err := textfile.Decode(content)
		if err != nil {
			require.Empty(t, text)
			return
		}
		require.True(t, bytes.HasSuffix(content, text))
		require.LessOrEqual(t, len(content)-len(text), len("\ufeff"))
	})
}
