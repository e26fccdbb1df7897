// Package conformance holds requests to Elasticsearch with the answers that
// real nodes gave, as data: tokens that are good and tokens that are broken in
// each way that is known, for realms in several configurations.
//
// Two tests use it. One sends every request to [esrealm] and compares the answer
// with the one that is written here. The other, in the integration suite, sends
// the same requests to esrealm and to a real node at the same time and requires
// the same answer of both. So what is written here is what Elasticsearch does.
package conformance
