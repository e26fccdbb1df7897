// Package textfile helps to read text files that people write: it undoes what
// editors put at the beginning of a file, and collects what is wrong with its
// lines.
package textfile

import (
	"bytes"
	"errors"
)

// ErrUTF16 says that a text is not what every tool beside Windows' own writes.
var ErrUTF16 = errors.New("it is UTF-16, as Windows tools write it: save it as UTF-8")

// Decode returns a text without the byte order mark that some editors put before it. Everything
// else stays as it is, binary data too. UTF-16 is an error: read byte by byte, it would only be said
// to be damaged.
func Decode(content []byte) ([]byte, error) {
	text, _ := bytes.CutPrefix(content, []byte("\ufeff"))
	if isUTF16(text) {
		return nil, ErrUTF16
	}
	return text, nil
}

// isUTF16 reports whether data begins with UTF-16's byte order mark, or with an ASCII character in
// UTF-16 without one. No PEM, JSON, DER or list begins so.
func isUTF16(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	first, second := data[0], data[1]
	return first == 0xff && second == 0xfe || first == 0xfe && second == 0xff || (first == 0) != (second == 0)
}
