// Package esrealm is an in-process Elasticsearch with JWT realms, for tests and
// demonstrations that should not need a Java runtime.
//
// A [Node] decides about a request as a real node does: which tokens a realm
// takes and what it makes of their claims, when it fetches its JWK set and what
// it does when that fails, what the role mappings and roles give a user, which
// headers make a client somebody else, and in which words it refuses. It knows
// enough of the index API for a client to write and search a few documents.
//
//	node, err := esrealm.NewHandler(esrealm.Config{
//		Realms: []esrealm.Realm{{
//			Name:                 "jwt1",
//			AllowedIssuer:        "https://proxy.example.com",
//			AllowedAudiences:     []string{"https://elasticsearch.example.com:9200"},
//			PKCJWKSetPath:        "https://proxy.example.com/.well-known/jwks.json",
//			Claims:               esrealm.Claims{Principal: "sub", Groups: "roles"},
//			ClientAuthentication: esrealm.ClientAuthentication{Type: esrealm.ClientAuthenticationNone},
//		}},
//	})
//
// The names of [Realm]'s fields follow the realm's settings in elasticsearch.yml.
//
// The package conformance holds several hundred requests with the verdicts of
// real nodes, and the integration suite sends them to a node of each version
// and to this package: both must give the same answer.
package esrealm
