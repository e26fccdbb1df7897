// Package textfile helps to read text files that people write: it removes the byte
// order mark, and collects the errors in the lines.
package textfile

import (
	"bytes"
	"errors"
)

// ErrUTF16 says that a text is UTF-16.
var ErrUTF16 = errors.New("it is UTF-16, as Windows tools write it: save it as UTF-8")

// Decode returns a text without the byte order mark that some editors put before it. Data without one,
// such as binary data, is returned as it is. For UTF-16, the error is ErrUTF16, since that of a parser
// would not help.
func Decode(content []byte) ([]byte, error) {
	text, _ := bytes.CutPrefix(content, []byte("\ufeff"))
	if isUTF16(text) {
		return nil, ErrUTF16
	}
	return text, nil
}

// isUTF16 reports whether data begins with the byte order mark of UTF-16, or with an ASCII character in
// UTF-16. No PEM, JSON, DER or deny list begins like this.
func isUTF16(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	first, second := data[0], data[1]
	return first == 0xff && second == 0xfe || first == 0xfe && second == 0xff || (first == 0) != (second == 0)
}
