package pemfile_test

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pemfile"
)

const (
	one = "-----BEGIN ONE-----\nAQEBAQEB\n-----END ONE-----\n"
	two = "-----BEGIN TWO-----\nProc-Type: 4,ENCRYPTED\n\nAgIC\n-----END TWO-----\n"
)

func TestBlocksThatCannotBeReadAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		types   string
		damaged int
	}{
		"nothing":                          {"", "", 0},
		"no PEM":                           {"AQEB\n-----END ONE-----\n", "", 0},
		"one block":                        {one, "ONE", 0},
		"one without a last line end":      {strings.TrimSpace(one), "ONE", 0},
		"one with CRLF":                    {strings.ReplaceAll(one, "\n", "\r\n"), "ONE", 0},
		"one without content":              {"-----BEGIN ONE-----\n-----END ONE-----\n", "ONE", 0},
		"two":                              {one + two, "ONE TWO", 0},
		"text around them":                 {"Bag Attributes\n" + one + "# and\n\n" + two + "the end", "ONE TWO", 0},
		"one that is cut off":              {one[:len(one)-12], "", 1},
		"the first of two is cut off":      {one[:29] + two, "TWO", 1},
		"the same in the middle of a line": {one[:25] + two, "", 2},
		"the last of two is cut off":       {one + two[:30], "ONE", 1},
		"one of another alphabet":          {strings.Replace(one, "AQ", "A*", 1) + two, "TWO", 1},
		"one that ends as another":         {strings.Replace(one, "END ONE", "END TWO", 1) + two, "TWO", 1},
		"one that is indented":             {"  " + strings.ReplaceAll(one, "\n", "\n  ") + "\n" + two, "TWO", 1},
		"one on a single line":             {strings.ReplaceAll(one, "\n", " "), "", 1},
		"one with line ends of old Macs":   {strings.ReplaceAll(one, "\n", "\r"), "", 1},
		"one after text on its line":       {"key: " + one, "", 1},
		"all are damaged":                  {one[:30] + "\n" + two[:30], "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			blocks, damaged := pemfile.Blocks([]byte(c.text))
			var types []string
			for _, block := range blocks {
				types = append(types, block.Type)
			}
			require.Equal(t, c.types, strings.Join(types, " "))
			require.Equal(t, c.damaged, damaged)
			require.Equal(t, len(blocks)+damaged, pemfile.Count([]byte(c.text)))
		})
	}
}

func FuzzBlocks(f *testing.F) {
	for _, text := range []string{
		"", one, two, one + two, one[:30] + two, "# " + one,
		strings.ReplaceAll(two, "\n", "\r\n"),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		blocks, damaged := pemfile.Blocks(text)
		require.Equal(t, before, text, "the text stays as it is")
		require.GreaterOrEqual(t, damaged, 0)
		require.Equal(t, pemfile.Count(text), len(blocks)+damaged)

		// The blocks can be written and read again.
		var written []byte
		for _, block := range blocks {
			written = append(written, pem.EncodeToMemory(block)...)
		}
		if pemfile.Count(written) != len(blocks) {
			return // a type or a header looks as if a block began there, or cannot be written
		}
		again, damaged := pemfile.Blocks(written)
		require.Zero(t, damaged)
		require.Len(t, again, len(blocks))
		for i, block := range blocks {
			require.Equal(t, block.Type, again[i].Type)
			require.Equal(t, block.Bytes, again[i].Bytes)
		}
		if len(blocks) > 0 {
			end := bytes.LastIndex(written, []byte("-----END "))
			_, damaged = pemfile.Blocks(written[:end])
			require.Equal(t, 1, damaged)
		}
	})
}
