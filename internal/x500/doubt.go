package x500

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckEscapes returns an error if a backslash in a distinguished name is not followed by what RFC 2253
// has it followed by. Normalize takes all of these, as Elasticsearch does, but their normal forms are
// hardly those of a certificate:
//
//	CN=Jo\U0308rg    is read as JoU0308rg; OpenSSL prints it so
//	CN=J\F6rg        is read as J and U+FFFD and rg: the byte F6 is no UTF-8
func CheckEscapes(dn string) error {
	for i := 0; i < len(dn); i++ {
		switch {
		case dn[i] != '\\' || i+1 == len(dn):
		case !isHexDigit(dn[i+1]):
			i++
			if c := dn[i] | 0x20; c >= 'a' && c <= 'z' {
				return fmt.Errorf(`a backslash before the letter %c means nothing (RFC 2253 section 2.4): `+
					`write the characters themselves, or each byte of their UTF-8 as in \C3\B6; `+
					`write a backslash as \\`, dn[i])
			}
		default:
			run, size := escapedBytes(dn[i:])
			if !utf8.Valid(run) {
				return errors.New("the bytes after the backslashes are not UTF-8: " +
					`write the characters themselves, or each byte of their UTF-8 as in \C3\B6`)
			}
			i += max(size, 1) - 1
		}
	}
	return nil
}

// escapedBytes decodes the escaped bytes that a text begins with, such as `\C3\B6`. Size is how many
// characters they have.
func escapedBytes(s string) (run []byte, size int) {
	for len(s) >= size+3 && s[size] == '\\' {
		b, err := hex.DecodeString(s[size+1 : size+3])
		if err != nil {
			break
		}
		run = append(run, b...)
		size += 3
	}
	return run, size
}

// HasWildcard reports whether a * in a distinguished name seems to be meant as a wildcard, as in the role
// mappings of Elasticsearch's API. For Normalize it is a character like any other.
//
//	CN=*,OU=contractors,O=Acme    seems so
//	CN=*.example.com,O=Acme       is the name of a certificate (RFC 6125 section 6.4.3)
//	CN=\2A                        is meant as it is
func HasWildcard(dn string) bool {
	for i := 0; i < len(dn); i++ {
		switch {
		case dn[i] == '\\':
			i++
		case dn[i] == '*' && !isHostWildcard(dn[:i], dn[i+1:]):
			return true
		}
	}
	return false
}

// isHostWildcard reports whether a * is the first label of a host name, as in CN=*.example.com.
func isHostWildcard(before, after string) bool {
	before = strings.TrimRight(before, " \t\"")
	return strings.HasSuffix(before, "=") && len(after) > 1 && after[0] == '.' && after[1] != '*'
}
