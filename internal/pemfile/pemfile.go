// Package pemfile reads the blocks of PEM (RFC 7468), and counts those that it
// cannot read.
//
// encoding/pem skips a damaged block without an error. If a file has two keys, and
// a line of one is lost, the other would be used as if it were the only one.
package pemfile

import (
	"bytes"
	"encoding/pem"
	"errors"
)

// ErrDamaged is the error of a text with damaged blocks.
var ErrDamaged = errors.New("a PEM block in it is damaged: is it complete, does it begin on a line of its own, " +
	"does each line begin without blanks, and does it end with LF or CRLF?")

// Count returns how many blocks begin in a text. It is quick even if the text is
// large and not PEM.
func Count(text []byte) int { return bytes.Count(text, []byte("-----BEGIN ")) }

// Blocks returns the blocks of a text, and the number of other blocks that are
// damaged: cut off, changed, indented, or with line ends other than LF and CRLF.
// Text around the blocks does not matter.
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
