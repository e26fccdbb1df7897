package denylist

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// maxSerial is how many bytes a serial number may have (RFC 5280 section
// 4.1.2.2). What is longer is a hash, more likely than not.
const maxSerial = 20

// parseHexSum reads a SHA-256 as 64 hexadecimal digits, with or without a colon
// after each pair.
func parseHexSum(s string) (sum [sha256.Size]byte, ok bool) {
	digits, ok := withoutColons(s)
	if !ok || len(digits) != hex.EncodedLen(sha256.Size) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return sum, err == nil
}

// parsePin reads a SHA-256 in the base64 of an HPKP pin (RFC 7469 section 2.4).
func parsePin(s string) (sum [sha256.Size]byte, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return sum, false
	}
	return [sha256.Size]byte(b), true
}

// parseSerial reads a hexadecimal number into its bytes without leading zeros.
func parseSerial(s string) (string, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	digits, ok := withoutColons(s)
	if !ok || digits == "" {
		return "", false
	}
	if len(digits)%2 != 0 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return "", false
	}
	return strings.TrimLeft(string(b), "\x00"), true
}

// withoutColons takes out the colons of 01:02:0a. Where there are any, they
// must separate pairs: 1:2 could be 12 or 0102.
func withoutColons(s string) (string, bool) {
	if !strings.Contains(s, ":") {
		return s, true
	}
	for i := range len(s) {
		if (i%3 == 2) != (s[i] == ':') {
			return "", false
		}
	}
	return strings.ReplaceAll(s, ":", ""), len(s)%3 == 2
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }
