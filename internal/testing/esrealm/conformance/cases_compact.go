package conformance

import (
	"encoding/base64"
	"strings"
)

// compactCases are about the form of the token: three parts in base64url. Nodes
// accept much that is not base64url.
func compactCases() []Case {
	compact := func(edit func(string) string) Token { return Token{Realm: realmTeleport, Compact: edit} }
	encoded := func(edit func(header, payload string) (string, string)) Token {
		return Token{Realm: realmTeleport, Encoded: edit}
	}
	parts := func(edit func(h, p, s string) string) Token {
		return compact(func(token string) string {
			p := strings.Split(token, ".")
			return edit(p[0], p[1], p[2])
		})
	}
	return []Case{
		taken("signature: padded", compact(func(s string) string { return s + "==" })),
		taken("signature: with a character of no alphabet", compact(func(s string) string { return s + "!" })),
		taken("signature: with a character of no alphabet inside",
			parts(func(h, p, s string) string { return h + "." + p + "." + s[:9] + "~" + s[9:] })),
		taken("signature: with a space inside",
			parts(func(h, p, s string) string { return h + "." + p + "." + s[:9] + " " + s[9:] })),
		taken("signature: in the standard alphabet", parts(func(h, p, s string) string {
			return h + "." + p + "." + strings.NewReplacer("-", "+", "_", "/").Replace(s)
		})),
		taken("signature: with unused bits set",
			parts(func(h, p, s string) string { return h + "." + p + "." + s[:len(s)-1] + string(s[len(s)-1]+1) })),
		refused("signature: one character more", compact(func(s string) string { return s + "A" })),
		refused("signature: four characters more", compact(func(s string) string { return s + "AAAA" })),
		refused("signature: four characters less", compact(func(s string) string { return s[:len(s)-4] })),
		refused("signature: nothing of an alphabet", parts(func(h, p, _ string) string { return h + "." + p + ".!" })),
		notJWT("signature: empty", parts(func(h, p, _ string) string { return h + "." + p + "." })),
		notJWT("compact: two parts", parts(func(h, p, _ string) string { return h + "." + p })),
		notJWT("compact: one part", parts(func(h, _, _ string) string { return h })),
		notJWT("compact: four parts", compact(func(s string) string { return s + ".x" })),
		notJWT("compact: five parts", compact(func(s string) string { return s + ".x.y" })),
		notJWT("compact: a dot before it", compact(func(s string) string { return "." + s })),
		notJWT("compact: the payload is empty", parts(func(h, _, s string) string { return h + ".." + s })),
		notJWT("compact: the header is empty", parts(func(_, p, s string) string { return "." + p + "." + s })),
		notJWT("compact: text", compact(func(string) string { return "garbage" })),
		notJWT("compact: an opaque token",
			compact(func(string) string { return "46ToAxZVaXVVZTVKOVF5YU04ZFJVUDVSZlV3" })),
		refused("compact: another token's payload", compact(func(s string) string {
			h, rest, _ := strings.Cut(s, ".")
			_, sig, _ := strings.Cut(rest, ".")
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(rest, ".")[0])
			return h + "." + b64([]byte(strings.Replace(string(payload), "alice", "mallory", 1))) + "." + sig
		})),
		refused("compact: another token's header", compact(func(s string) string {
			_, rest, _ := strings.Cut(s, ".")
			return b64([]byte(`{"alg":"RS256"}`)) + "." + rest
		})),
		taken("header: padded", encoded(func(h, p string) (string, string) { return h + "==", p })),
		taken("header: with a character of no alphabet",
			encoded(func(h, p string) (string, string) { return h[:5] + "~" + h[5:], p })),
		taken("payload: padded", encoded(func(h, p string) (string, string) { return h, p + "=" })),
		taken("payload: with a character of no alphabet",
			encoded(func(h, p string) (string, string) { return h, p[:7] + "*" + p[7:] })),
		taken("payload: in the standard alphabet", Token{
			Realm: realmTeleport, Claims: Members{"x": "ÿ?>~~~???>>>ÿÿ"},
			Encoded: func(h, p string) (string, string) {
				return h, strings.NewReplacer("-", "+", "_", "/").Replace(p)
			},
		}),
	}
}
