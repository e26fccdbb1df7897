package conformance

import "strings"

// hmacCases are about realms with symmetric keys.
func hmacCases() []Case {
	token := func(realm, key, alg string, header Members) Token {
		return Token{Realm: realm, Key: key, Alg: alg, Header: header}
	}
	return []Case{
		taken("hmac_key: HS256", token(realmHMAC, keyHMAC, "HS256", nil)),
		taken("hmac_key: HS384", token(realmHMAC, keyHMAC, "HS384", nil)),
		taken("hmac_key: HS512", token(realmHMAC, keyHMAC, "HS512", nil)),
		taken("hmac_key: any kid", token(realmHMAC, keyHMAC, "HS256", Members{"kid": "whatever"})),
		refused("hmac_key: another key", token(realmHMAC, keyHMACUnknown, "HS256", nil)),
		refused("hmac_key: RS256, which the realm allows but has no keys for", token(realmHMAC, keyRSA, "RS256", nil)),
		refused("hmac_key: a flipped bit",
			Token{Realm: realmHMAC, Signature: func(s []byte) []byte { s[0] ^= 1; return s }}),
		refused("hmac_key: half of the code",
			Token{Realm: realmHMAC, Signature: func(s []byte) []byte { return s[:16] }}),
		refused("hmac_key: signed as HS512",
			Token{Realm: realmHMAC, Signer: func(input,
				_ []byte,
			) []byte {
				return keys()[keyHMAC].sign("HS512", input)
			}}),
		refused("hmac_key: crit", token(realmHMAC, keyHMAC, "HS256", Members{"crit": []string{"x"}, "x": 1})),
		taken("hmac_key: other claims are as ever",
			Token{Realm: realmHMAC, Claims: Members{"sub": "bob", "roles": []string{"readers"}}},
			as("bob"), roles("readers")),

		taken("hmac_jwkset: HS256 with 32 bytes", token(realmHMACSet, keyHMAC256, "HS256", nil)),
		taken("hmac_jwkset: HS384 with 48 bytes", token(realmHMACSet, keyHMAC384, "HS384", nil)),
		taken("hmac_jwkset: HS512 with 64 bytes", token(realmHMACSet, keyHMAC512, "HS512", nil)),
		taken("hmac_jwkset: HS256 with 64 bytes and no kid", token(realmHMACSet, keyHMAC512, "HS256", nil)),
		taken("hmac_jwkset: no kid in the token", token(realmHMACSet, keyHMAC256, "HS256", Members{"kid": Absent})),
		refused("hmac_jwkset: HS384 with 32 bytes", token(realmHMACSet, keyHMAC256, "HS384", nil)),
		refused("hmac_jwkset: HS256 with a key for HS384", token(realmHMACSet, keyHMAC384, "HS256", nil)),
		refused("hmac_jwkset: another kid", token(realmHMACSet, keyHMAC256, "HS256", Members{"kid": keyHMAC384})),
		refused("hmac_jwkset: an unknown key", token(realmHMACSet, keyHMACUnknown, "HS256", nil)),
		refused("hmac_jwkset: RS256, which the realm does not allow", token(realmHMACSet, keyRSA, "RS256", nil)),
	}
}

// secretCases are about the client's shared secret.
func secretCases() []Case {
	good := Token{Realm: realmSecret}
	return []Case{
		taken("secret: the right one", good, with("ES-Client-Authentication: SharedSecret "+clientSecret)),
		taken("secret: the header in lower case", good, with("es-client-authentication: SharedSecret "+clientSecret)),
		taken("secret: the scheme in lower case", good, with("ES-Client-Authentication: sharedsecret "+clientSecret)),
		taken("secret: surrounded by spaces", good,
			with("ES-Client-Authentication:   SharedSecret    "+clientSecret+"  ")),
		taken("secret: twice the same", good,
			with("ES-Client-Authentication: SharedSecret "+clientSecret,
				"ES-Client-Authentication: SharedSecret "+clientSecret)),
		refused("secret: missing", good),
		refused("secret: empty", good, with("ES-Client-Authentication: SharedSecret ")),
		refused("secret: an empty header", good, with("ES-Client-Authentication:")),
		refused("secret: wrong", good, with("ES-Client-Authentication: SharedSecret wrong")),
		refused("secret: in another case", good,
			with("ES-Client-Authentication: SharedSecret "+strings.ToUpper(clientSecret))),
		refused("secret: without the scheme", good, with("ES-Client-Authentication: "+clientSecret)),
		refused("secret: another scheme", good, with("ES-Client-Authentication: Bearer "+clientSecret)),
		refused("secret: in the header of old", good, with("X-Client-Authentication: SharedSecret "+clientSecret)),
		refused("secret: joined by a comma", good,
			with("ES-Client-Authentication: SharedSecret "+clientSecret+", SharedSecret "+clientSecret)),
		refused("secret: right, but the token is bad", Token{Realm: realmSecret, Key: keyRSAUnknown},
			with("ES-Client-Authentication: SharedSecret "+clientSecret)),
		taken("secret: one that the realm does not ask for", Token{Realm: realmTeleport},
			with("ES-Client-Authentication: SharedSecret whatever")),
		taken("secret: something else that the realm does not ask for", Token{Realm: realmTeleport},
			with("ES-Client-Authentication: whatever")),
		{
			Name: "secret: two different ones", Token: good,
			Request: Request{Headers: []string{
				"ES-Client-Authentication: SharedSecret " + clientSecret,
				"ES-Client-Authentication: SharedSecret wrong",
			}},
			Want: Want{Status: 400},
		},
	}
}
