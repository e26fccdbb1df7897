// Package credential is what the two doors handle: the credential with which a request of a client goes on to a node.
//
// A handler has one [Kind] of credential. A JWT is one, which internal/signer makes. The others are modules in
// credentials/, each of which implements [Maker], and they share one [Cache]: it makes each credential once, keeps it
// as long as it is good, renews it before it ends, and bounds what the cluster is asked.
package credential

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Credential is what a request of a client goes on with. It is immutable.
type Credential struct {
	// Authorization is the value of the header Authorization; "" if there is none.
	Authorization string

	// Headers are the other headers, with canonical names and one value each.
	Headers []Header

	// KeyID is the kid of a JWT, whose key a node may have to fetch. Other credentials have none.
	KeyID string

	// ID names a credential that is no JWT in logs, such as the ID of an API key. It is no secret. It may be "".
	ID string

	// Until is when it ends, and RenewAt when to make the next one, in Unix seconds.
	Until, RenewAt int64

	// Found says that it was not made now, but found where other replicas and restarts find it too.
	Found bool

	// Detail is for its [Maker] alone.
	Detail any
}

// Header is a header with its value.
type Header struct{ Name, Value string }

// Client is who wants a credential.
type Client struct {
	Holder *token.Holder // in which a Kind keeps where the client's last credential is

	Principal string
	Groups    []string
	Chain     []*x509.Certificate // that the client sent, its own first; empty for health checks, which have none
	NotAfter  int64               // when the certificate ends, in Unix seconds; for health checks, far in the future
}

// Fingerprint returns the SHA-256 of the client's certificate.
func (c *Client) Fingerprint() [sha256.Size]byte {
	if len(c.Chain) == 0 {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(c.Chain[0].Raw)
}

// Kind gives clients their credentials.
type Kind interface {
	// Fresh returns the credential that a holder got last, if that is certainly still the right one, or else nil. It is
	// called for each request. Instants are in Unix seconds.
	Fresh(holder *token.Holder, now, notAfter int64) *Credential

	// Get returns the credential of a client, and makes it if need be. made is called if one is made. Its errors are
	// those of [Maker.Make] and of the context.
	Get(ctx context.Context, client *Client, now time.Time, made func(*Credential)) (*Credential, error)

	// Renewed returns another credential for a client whose credential a node has refused with 401, or nil if there is
	// none: the kind cannot make another one, or has made one just now. An error says that the cluster can make none right
	// now, or cannot check any, so that the credential may be good.
	Renewed(ctx context.Context, client *Client, refused *Credential, made func(*Credential)) (*Credential, error)
}

// Maker makes the credentials of one kind. Its methods can be called at the same time.
type Maker interface {
	// Sets returns the names of the headers that its credentials have, in their canonical form. A client cannot set them.
	Sets() []string

	// Version changes when something changes that [Maker.Plan] depends on, such as a file. It is called for each request.
	Version() uint64

	// Plan says which credential a client gets. It asks nobody. Its error is a [Refusal] of the client.
	Plan(client *Client) (Plan, error)

	// Make makes a credential, or renews last, which is nil for a new one. Its error is a [Refusal] if it is known who
	// must do what. The context ends after a few seconds.
	Make(ctx context.Context, client *Client, plan Plan, last *Credential) (*Credential, error)

	// Explain says what is sent for a client, without a secret in it. The error is that of Plan.
	Explain(client *Client) (Explanation, error)
}

// Plan is which credential a client gets.
type Plan struct {
	// Key has everything that shapes the credential: clients with the same key share one.
	Key string

	// Apart tells those from others with the same Key that must not share a credential with them: see [Plan.For].
	Apart string

	// Detail is for the Maker alone.
	Detail any
}

// ID returns what those who share a credential have in common.
func (p Plan) ID() string { return p.Key + "\x00" + p.Apart }

// For returns the plan of a client that must not share what others with the same Key have: its certificate ends earlier.
func (p Plan) For(client *Client) Plan {
	p.Apart = "until " + strconv.FormatInt(client.NotAfter, 10)
	return p
}

// Dropper is a [Maker] that can replace a credential which a node refuses with 401.
type Dropper interface {
	// Drop is called before another credential is made, so that this one is not used again. It reports whether that is
	// so. It is not if the cluster cannot say anything about the credential right now: then the node that has refused it
	// could not look it up either, and it may be good.
	Drop(ctx context.Context, refused *Credential) (dropped bool)
}

// Denied reports whether a client with a chain is not let in any more, so that its credential has to go. It is not so
// for one that is refused because a revocation list is missing, or for the time that a clock shows: another Caddy with
// the same credentials may know better.
type Denied func(chain []*x509.Certificate) bool

// Runner is a [Maker] that does something of its own while the configuration runs.
type Runner interface {
	// Run is called when the configuration starts, and returns when the context ends. denied judges clients as the
	// handler does that the maker is for.
	Run(ctx context.Context, denied Denied)
}

// Watcher is a [Maker] that reads files or variables, which are checked for changes as long as the configuration runs.
type Watcher interface {
	// Watched returns them. It is called after Provision.
	Watched() []watch.Watched
}

// Clustered is a [Maker] that asks the cluster.
type Clustered interface {
	// SetCluster is called when the configuration starts, before anything else is asked for.
	SetCluster(c *cluster.Cluster)

	// Nodes returns the addresses of the nodes that the settings name; none means those of the reverse_proxy.
	Nodes() []string
}

// Prover is a [Maker] whose credentials a node may not obey, without a word. Before the first request goes to a node,
// the node is asked.
type Prover interface {
	// Prove asks a node whether a credential makes a request that of the client. The error is a [Refusal].
	Prove(ctx context.Context, node cluster.Node, c *Credential) error
}

// Choosy is a [Maker] that may make no credential for somebody who has a name alone, such as a health check.
type Choosy interface {
	// Requires returns what else it requires, such as "a group"; "" if a name is enough. It may be called before
	// Provision.
	Requires() string
}

// Believed is a [Maker] with headers that a node believes as they are, whoever sent them. A client can set them in front
// of no handler of the configuration, since all requests come to the node from the same address.
type Believed interface {
	// Believed returns their names. It is called after Provision.
	Believed() []string
}

// Explanation says what a credential is, for a person.
type Explanation struct {
	Kind    string   `json:"kind"`
	Sends   []string `json:"sends"`             // the headers, each as "Name: value", with … for what is secret
	Needs   []string `json:"needs,omitempty"`   // what the cluster must have
	Missing []string `json:"missing,omitempty"` // what is known to be missing
}

// NotAsked is what is missing as long as nobody knows.
const NotAsked = "not known: a running Caddy asks the cluster, and it has not answered yet"

// Problem is why there is no credential.
type Problem int

// The problems, which become the reason of a refusal.
const (
	NoRole       Problem = iota // the client has no group for which there is a role or a credential: 403
	InvalidName                 // the cluster cannot have a user of this name: 403
	Unverified                  // the cluster does not take the client's certificate: 401
	Unavailable                 // the cluster cannot make one now: 503
	ProxyRefused                // the cluster refuses the proxy's own credential, or does not obey it: 502
)

// Refusal is the error of a client that gets no credential. Its Detail says what to do, has nothing in it that a client
// chose, and can be shown to anybody. The operator alone sees the cause.
type Refusal struct {
	Problem Problem
	Detail  string
	Cause   error
}

// Error returns the detail with the cause, which is for the operator alone.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return r.Detail + ": " + r.Cause.Error()
	}
	return r.Detail
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Refuse makes a Refusal.
func Refuse(p Problem, cause error, detail string) *Refusal { return &Refusal{p, detail, cause} }

// RefuseGroups is the refusal of a client that has none of the groups which count. The operator alone sees them.
func RefuseGroups(detail string, has, count []string) *Refusal {
	return Refuse(NoRole, fmt.Errorf("the client's groups: %s; the groups that count, in upper and lower case as they are here: %s",
		shownGroups(has), shownGroups(count)), detail)
}

// shownGroups returns groups for a person, but not all if there are many.
func shownGroups(groups []string) string {
	const most, longest = 10, 100
	if len(groups) == 0 {
		return "none"
	}
	var shown []string
	for _, g := range groups[:min(most, len(groups))] {
		shown = append(shown, fmt.Sprintf("%.*q", longest, g))
	}
	if more := len(groups) - most; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

// AsRefusal returns an error as a Refusal. What is none becomes one: the cluster cannot make a credential now.
func AsRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return Refuse(Unavailable, err, "the cluster gives out no credential right now: "+
		"try again, or see the log of elasticsearch_jwt")
}

// SortedGroups returns groups in their order, each once, so that the same set is always the same list.
func SortedGroups(groups []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(groups)))
}
