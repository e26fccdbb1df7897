// Package keys is the contract between a key set and the place that its keys come from, for those who write
// such a source. Sources are Caddy modules in the namespace elasticsearch_jwt.keys: storage, file, secret and
// kms have a folder each, and the example of [Source] is one for keys that are kept somewhere else.
//
// A source gives one of two types of keys. Most give [Fixed] ones: the key that signs, and those that are
// only published. Who changes what the source reads decides when another key signs. A source that makes keys
// by itself gives [Timed] ones, which have a life. Which of them signs, and which a JWKS shows, follows from
// their instants and the clock alone, so that replicas which read the same keys agree without talking.
//
// # Three keys, one rotation, one revocation
//
// A set rotates every 30 days. Tokens live for 10 minutes, caches keep the JWKS for one minute, and a key
// stays in the JWKS for one hour and ten minutes after the next one began to sign (its Grace).
//
//	1 Jan 12:00  Key A is made, and signs at once: nobody can know another key. B is made as its
//	             successor (Turn 2, SignsFrom 31 Jan 12:00). The JWKS shows A and B.
//	31 Jan 12:00 The rotation: B signs. Every cache has known it for a month. A client goes on with its
//	             token of A until that has half its life left. C is made as B's successor (Turn 3).
//	31 Jan 13:10 A retires: no token of A can be valid. The JWKS shows B and C.
//	5 Feb 09:00  B is revoked. C signs at once, since every cache knows it; tokens of B are given up.
//	             A fresh key D is made (Turn 4), which says that it replaces B (Replaces, ReplacesFrom
//	             09:00) and from when a JWKS may show it (Appears 09:02).
//	5 Feb 09:02  By now every replica has read D. It enters the JWKS in the place of B, which is
//	             withdrawn. No JWKS ever shows both.
//	5 Feb 09:04  D signs (SignsFrom): no cache has a JWKS without it any more. A cluster meets a kid that
//	             it has never seen, reads the JWKS again, and so forgets B.
package keys
