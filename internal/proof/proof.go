// Package proof is about credentials that a node may not obey, without a word: with run_as, a node that ignores the header
// serves everybody as the proxy. So each node is asked who a client is, before it gets the first request.
package proof

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/sync/singleflight"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// Proofs are which nodes have shown that they obey the credentials of which provers.
type Proofs struct {
	over  http.RoundTripper
	known sync.Map // proof
	calls singleflight.Group
}

// New returns Proofs that are asked for over the transport of the requests.
func New(over http.RoundTripper) *Proofs { return &Proofs{over: over} }

// proof is a node that obeys the credentials of a prover, which have the same Authorization.
type proof struct {
	prover        credential.Prover
	node          string
	authorization string
}

// Check returns why a request with a credential must not be sent to a node, or nil. The node is asked if it is not known
// yet. Provers are compared, and must be pointers.
func (p *Proofs) Check(out *http.Request, node string, prover credential.Prover, with *credential.Credential) error {
	id := proof{prover, node, with.Authorization}
	if _, known := p.known.Load(id); known {
		return nil
	}
	if err := p.ask(out, id, with); err != nil {
		return err
	}
	p.known.Store(id, true)
	return nil
}

// Forget forgets what a node has shown: it may be another one when it answers again.
func (p *Proofs) Forget(node string) {
	p.known.Range(func(id, _ any) bool {
		if id.(proof).node == node {
			p.known.Delete(id)
		}
		return true
	})
}

// ask asks a node. Clients with the same credential ask together.
func (p *Proofs) ask(out *http.Request, id proof, with *credential.Credential) error {
	asked := cluster.NewNode(out.URL.Scheme+"://"+out.URL.Host, p.over)
	// Caddy's transport writes into the variables of a request, which may end before the others have their answer. The
	// dial information of reverse_proxy is in the context.
	vars, _ := out.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	background := context.WithValue(context.WithoutCancel(out.Context()), caddyhttp.VarsCtxKey, maps.Clone(vars))
	together := fmt.Sprintf("%p %q %q %q", id.prover, id.node, with.Headers, id.authorization)
	answer := p.calls.DoChan(together, func() (any, error) {
		ctx, cancel := context.WithTimeout(background, timing.CredentialTimeout)
		defer cancel()
		proved := <-hanging.Go("the proof", func() (any, error) { return nil, id.prover.Prove(ctx, asked, with) })
		return nil, proved.Err
	})
	_, err := hanging.Wait(out.Context(), answer, timing.CredentialTimeout, errSlow)
	return err
}

var errSlow = credential.Refuse(credential.Unavailable, nil, "the node did not say in time who a client is: try again")
