// Package conformance has requests to Elasticsearch with the answers of real
// nodes: good tokens and broken ones, for realms with different settings.
//
// Two tests use it. The test of this package sends each request to esrealm and
// compares the answer with the expected one. A test in the integration suite sends
// each request to a real node too, and also compares the two answers.
package conformance
