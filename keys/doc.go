// Package keys is the contract between a key set and its source, the place that its keys come from. It is
// for those who write a source: a Caddy module in the namespace elasticsearch_jwt.keys. The sources storage,
// file, secret and kms have a folder each. The example of [Source] is a source that somebody else might
// write.
//
// A source gives keys of one of two types. Most give [Fixed] keys: one signs, and the JWKS shows them all.
// Another key signs when the operator changes what the source reads. A source that makes its own keys gives
// [Timed] keys, which have a life. Which of them signs, and which the JWKS shows, follows from their times
// and the clock alone, so that replicas which read the same keys agree without talking to each other.
//
// # Three keys, one rotation, one revocation
//
// A set rotates every 30 days. Tokens live for 10 minutes, caches keep the JWKS for one minute, and a key
// stays in the JWKS for one hour and ten minutes after the next one began to sign (its Grace).
//
//	1 Jan 12:00  Key A is made, and signs at once: nobody can know another key. B is made as its
//	             successor (Turn 2, SignsFrom 31 Jan 12:00). The JWKS shows A and B.
//	31 Jan 12:00 The rotation: B signs. Every cache has had it for a month. A client keeps its token of
//	             A until half of the token's life is over. C is made as B's successor (Turn 3).
//	31 Jan 13:10 A retires: no token of A can be valid. The JWKS shows B and C.
//	5 Feb 09:00  B is revoked. C signs at once, since every cache has it; tokens of B are not used again.
//	             A fresh key D is made (Turn 4), which says that it replaces B (Replaces, ReplacesFrom
//	             09:00) and from when a JWKS may show it (Appears 09:02).
//	5 Feb 09:02  By now every replica has read D. It enters the JWKS in the place of B, which is
//	             withdrawn. No JWKS ever shows both.
//	5 Feb 09:04  D signs (SignsFrom): no cache has a JWKS without it any more. A cluster meets a kid that
//	             it has never seen, reads the JWKS again, and so forgets B.
package keys
