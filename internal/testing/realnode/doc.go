// Package realnode starts real Elasticsearch and OpenSearch nodes on the
// loopback interface, for the quickstart and for the integration suite.
//
// Each project publishes a distribution for integration tests, which the Maven client
// fetches into the user's Maven repository. A node is a copy of it in a temporary
// folder. It serves HTTPS with the caller's certificate, runs as an unprivileged user
// if the caller is root, and ends with the caller.
//
// That needs a JDK, and mvn until the files are there. If one of them is missing, the
// error is a [MissingError].
package realnode

import "fmt"

// MissingError says that something is missing on this machine, and how to get
// it.
type MissingError struct {
	What, How string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("missing: %s; %s", e.What, e.How)
}
