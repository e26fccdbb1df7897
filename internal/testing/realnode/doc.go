// Package realnode starts real Elasticsearch and OpenSearch nodes on the
// loopback interface, for the quickstart and for the integration suite.
//
// A node is a copy of the distribution that each project publishes for
// integration tests, fetched with the Maven client into the user's Maven
// repository at run time. It lives in a temporary folder, serves HTTPS with the
// caller's certificate, runs as an unprivileged user where the caller is root,
// and ends with the caller.
//
// It needs mvn (only until the files are there) and a JDK; what is missing is
// reported as a [MissingError].
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
