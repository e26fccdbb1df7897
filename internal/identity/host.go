package identity

import "strings"

// hostPair is a server name and a Host that go together, as sameHost says, or nothing. A client remembers the pair of
// its first request, because those of its next requests are nearly always the same two strings: then sameHost,
// which depends on nothing else, need not look at each letter again.
type hostPair struct{ serverName, host string }

// isSame reports whether another pair is the same. None is the same as nothing.
func (p *hostPair) isSame(other hostPair) bool { return p.serverName != "" && *p == other }

// sameHost reports whether a server name (SNI, RFC 6066) and a Host header (RFC 9110 section 7.2) are the same name. It
// compares them as ASCII, without regard to case.
//
// Caddy chooses the TLS settings by the server name and the routes by the Host, and does not fold both in quite the
// same way. So a name with an unusual character, such as a letter beyond ASCII, a bracket or a dot at its end, is never
// the same.
func sameHost(serverName, host string) bool {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon] // the port; an IPv6 address has another colon left, and is no name
	}
	if serverName == "" || len(serverName) != len(host) {
		return false
	}
	for i := range len(serverName) {
		a, b := lowerASCII(serverName[i]), lowerASCII(host[i])
		if a != b || !isHostByte(a) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}
