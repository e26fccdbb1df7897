// Package esrealm imitates an Elasticsearch node with JWT realms in this process,
// for tests and demonstrations that should run without Java.
//
// A [Node] answers a request as a real node does. It imitates which tokens a
// realm accepts and how it maps their claims, when it fetches its JWK set and
// what happens if that fails, the role mappings, the roles, the headers by which
// a client becomes somebody else, and the error messages. It knows enough of the
// index API for a client to write and search a few documents.
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
// The package conformance has several hundred requests with the answers of real
// nodes. This package has what they need, and no more. The integration suite
// sends them to a real node of each version and to this package, and compares
// the answers.
package esrealm
