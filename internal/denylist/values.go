package denylist

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// maxSerial is how many bytes a serial number can have (RFC 5280 section 4.1.2.2).
// A longer one is likely to be a hash.
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

// parseSerial reads a hexadecimal number. It returns the bytes without leading zeros.
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

// refuseAmbiguous refuses a number that can be hexadecimal or decimal, such as 4711. OpenSSL, Java and
// browsers print serial numbers in hexadecimal; step, Go and Caddy's access log print them in decimal.
// A number with a zero in front, such as 0815, is hexadecimal: decimal ones have none.
func refuseAmbiguous(s string) error {
	const maxDigits = 49 // of 20 bytes
	if len(s) < 2 || s[0] == '0' || strings.Trim(s, "0123456789") != "" || len(s) > maxDigits {
		return nil
	}
	decimal, _ := new(big.Int).SetString(s, 10)
	switch tooLong := (len(s)+1)/2 > maxSerial; {
	case len(decimal.Bytes()) > maxSerial:
		return nil
	case tooLong:
		return fmt.Errorf("serial %s is decimal: write 0x%X", s, decimal)
	default:
		return fmt.Errorf("serial %s can be hexadecimal, as `openssl x509 -serial` prints it, "+
			"or decimal, as in Caddy's access log: "+
			"if it is hexadecimal, write 0x%s; if it is decimal, write 0x%X", s, s, decimal)
	}
}

// withoutColons removes the colons of 01:02:0a. If there are any, they have to
// separate pairs of digits: 1:2 could be 12 or 0102.
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
