package conformance

// keyCases are about the keys of a set that a realm tries for a token.
func keyCases() []Case {
	token := func(key, alg string, header Members) Token {
		return Token{Realm: realmAlgorithms, Key: key, Alg: alg, Header: header}
	}
	return []Case{
		taken("key: RS256", token(keyRSA, "RS256", nil)),
		taken("key: RS256 with a key without kid and alg", token(keyRSAAnon, "RS256", nil)),
		taken("key: RS384", token(keyRSAAnon, "RS384", nil)),
		taken("key: RS512", token(keyRSAAnon, "RS512", nil)),
		taken("key: PS256", token(keyRSAAnon, "PS256", nil)),
		taken("key: PS384", token(keyRSAAnon, "PS384", nil)),
		taken("key: PS512", token(keyRSAAnon, "PS512", nil)),
		taken("key: ES256", token(keyES256, "ES256", nil)),
		taken("key: ES384", token(keyES384, "ES384", nil)),
		taken("key: ES512", token(keyES512, "ES512", nil)),
		taken("key: any kid fits a key without kid", token(keyRSAAnon, "RS256", Members{"kid": "whatever"})),
		taken("key: no kid tries all keys", token(keyRSA, "RS256", Members{"kid": Absent})),
		taken("key: no kid tries all curves", token(keyES384, "ES384", Members{"kid": Absent})),
		taken("key: key_ops verify", token(keyES256Verify, "ES256", nil)),
		refused("key: the kid of another key", token(keyRSA, "RS256", Members{"kid": keyRSAAnon})),
		refused("key: an unknown kid", token(keyRSA, "RS256", Members{"kid": "unknown"})),
		refused("key: an empty kid", token(keyRSA, "RS256", Members{"kid": ""})),
		refused("key: a kid in another case", token(keyRSA, "RS256", Members{"kid": "RSA"})),
		refused("key: the kid of a key that did not sign", token(keyRSAUnknown, "RS256", Members{"kid": keyRSA})),
		refused("key: not published", token(keyRSAUnknown, "RS256", nil)),
		refused("key: not published, no kid", token(keyRSAUnknown, "RS256", Members{"kid": Absent})),
		refused("key: its alg is another", token(keyRSA, "RS384", nil)),
		refused("key: its alg is another (PS256)", token(keyRSA, "PS256", nil)),
		refused("key: its alg is another curve's", token(keyES256Other, "ES256", nil)),
		refused("key: use enc", token(keyES256Enc, "ES256", nil)),
		refused("key: use enc, no kid", token(keyES256Enc, "ES256", Members{"kid": Absent})),
		refused("key: key_ops sign", token(keyES256Sign, "ES256", nil)),
		refused("key: 1024 bits", token(keyRSASmall, "RS256", nil)),
		refused("key: a symmetric key of the published set", token(keyHMAC256, "HS256", nil)),
		refused("key: an RSA kid with an EC signature", token(keyES256, "ES256", Members{"kid": keyRSA})),
		refused("key: an EC kid with an RSA signature", token(keyRSA, "RS256", Members{"kid": keyES256})),
		refused("key: another curve's", token(keyES384, "ES256", nil)),
	}
}
