package esrealm

import (
	"strings"
	"unicode"
)

const (
	uriMark     = "_-!.~'()*"
	uriPath     = uriMark + ":@&=+$,;/"
	uriRegName  = uriMark + "$,;:@&=+"
	uriReserved = uriMark + ";/?:@&=+$,[]"
)

// isURI reports whether java.net.URI takes a text, which decides about the
// members jku and x5u. It follows RFC 2396, takes most other characters beyond
// ASCII too, and an empty text.
func isURI(s string) bool {
	s, fragment, _ := strings.Cut(s, "#")
	if !uriChars(fragment, uriReserved) {
		return false
	}
	if at := strings.IndexAny(s, ":/?"); at >= 0 && s[at] == ':' {
		scheme, rest := s[:at], s[at+1:]
		if !isScheme(scheme) || rest == "" {
			return false
		}
		if rest[0] != '/' {
			return uriChars(rest, uriReserved)
		}
		s = rest
	}
	s, query, _ := strings.Cut(s, "?")
	if !uriChars(query, uriReserved) {
		return false
	}
	rest, hasAuthority := strings.CutPrefix(s, "//")
	if !hasAuthority {
		return uriChars(s, uriPath)
	}
	authority, path := rest, ""
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		authority, path = rest[:at], rest[at:]
	}
	if authority == "" {
		return path+query+fragment != "" && uriChars(path, uriPath)
	}
	return isAuthority(authority) && uriChars(path, uriPath)
}

func isScheme(s string) bool {
	for i, r := range s {
		letter := (r|0x20) >= 'a' && (r|0x20) <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", r)) {
			return false
		}
	}
	return s != ""
}

// isAuthority takes an IPv6 address in brackets, and anything else that has no
// brackets.
func isAuthority(s string) bool {
	if user, host, ok := strings.Cut(s, "["); ok {
		address, port, closed := strings.Cut(host, "]")
		return closed && (user == "" || strings.HasSuffix(user, "@")) && address != "" && strings.Trim(address, "0123456789abcdefABCDEF:.") == "" && strings.Trim(port, ":0123456789") == ""
	}
	return uriChars(s, uriRegName)
}

// uriChars reports whether a part of a URI holds letters, digits, escapes, the
// given characters and those beyond ASCII alone.
func uriChars(s, allowed string) bool {
	for i, r := range s {
		switch {
		case r == '%':
			if len(s) < i+3 || strings.Trim(s[i+1:i+3], "0123456789abcdefABCDEF") != "" {
				return false
			}
		case r >= '0' && r <= '9', (r|0x20) >= 'a' && (r|0x20) <= 'z', r < unicode.MaxASCII && strings.ContainsRune(allowed, r):
		case r <= unicode.MaxASCII, unicode.IsControl(r), unicode.In(r, unicode.Z):
			return false
		}
	}
	return true
}
