// Package pemfile reads the blocks of PEM (RFC 7468), and says when it cannot
// read all of them.
//
// encoding/pem skips a block that it cannot read. Of a file with two keys, one
// of which lost a line, the other would be used as if it were the only one.
package pemfile

import (
	"bytes"
	"encoding/pem"
)

// Count is how many blocks begin in a text. It is cheap, also where the text is
// large and not PEM.
func Count(text []byte) int { return bytes.Count(text, []byte("-----BEGIN ")) }

// Blocks returns the blocks of a text, and how many others begin in it and are
// damaged: cut off, changed, indented, or with line ends that are neither LF
// nor CRLF. Text around the blocks does not matter.
func Blocks(text []byte) (blocks []*pem.Block, damaged int) {
	rest := text
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return blocks, Count(text) - len(blocks)
		}
		blocks = append(blocks, block)
	}
}
