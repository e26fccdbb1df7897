package esjwt

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/sync/singleflight"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// This file is about credentials that a node may not obey, without a word: with run_as, a node that ignores the header
// serves everybody as the proxy. So each node is asked who a client is, before it gets the first request.

// proofs are which nodes have shown that they obey the credentials of which handlers.
type proofs struct {
	over  http.RoundTripper // set by the transport
	known sync.Map          // proof
	calls singleflight.Group
}

// proof is a node that obeys the credentials of a handler, which have the same Authorization.
type proof struct {
	handler       *Handler
	node          string
	authorization string
}

// check returns why a request must not be sent to a node, or nil. The node is asked if it is not known yet.
func (p *proofs) check(out *http.Request, node string, admitted *admission) *Refusal {
	if admitted.client == nil || admitted.handler.cache == nil {
		return nil
	}
	prover, ok := admitted.handler.cache.Maker().(credential.Prover)
	if !ok {
		return nil
	}
	id := proof{admitted.handler, node, admitted.credential.Authorization}
	if _, known := p.known.Load(id); known {
		return nil
	}
	if err := p.ask(prover, out, id, admitted); err != nil {
		return refuseNoCredential(credential.AsRefusal(err))
	}
	p.known.Store(id, true)
	return nil
}

// forget forgets what a node has shown: it may be another one when it answers again.
func (p *proofs) forget(node string) {
	p.known.Range(func(id, _ any) bool {
		if id.(proof).node == node {
			p.known.Delete(id)
		}
		return true
	})
}

// ask asks a node. Clients with the same credential ask together.
func (p *proofs) ask(prover credential.Prover, out *http.Request, id proof, admitted *admission) error {
	asked := cluster.NewNode(out.URL.Scheme+"://"+out.URL.Host, p.over)
	who := admitted.client.Name()
	// Caddy's transport writes into the variables of a request, which may end before the others have their answer.
	vars, _ := out.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	background := context.WithValue(context.WithoutCancel(out.Context()), caddyhttp.VarsCtxKey, maps.Clone(vars))
	together := fmt.Sprintf("%p %q %q %q", id.handler, id.node, admitted.credential.Headers, id.authorization)
	answer := p.calls.DoChan(together, func() (any, error) {
		// The dial information of reverse_proxy is in the context.
		ctx, cancel := context.WithTimeout(background, timing.CredentialTimeout)
		defer cancel()
		proved := <-hanging.Go("the proof", func() (any, error) {
			return nil, prover.Prove(ctx, asked, who, admitted.credential)
		})
		return nil, proved.Err
	})
	timeout := time.NewTimer(timing.CredentialTimeout)
	defer timeout.Stop()
	select {
	case r := <-answer:
		return r.Err
	case <-timeout.C:
		return credential.Refuse(credential.Unavailable, nil, "the node did not say in time who a client is: try again")
	case <-out.Context().Done():
		return context.Cause(out.Context())
	}
}
