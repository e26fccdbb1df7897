package esjwt

import (
	"context"
	"net/http"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// This file is about credentials that a node refuses with 401, and that can be replaced.

// send sends a request to a node. If the node refuses the client's credential with 401 and another one can be made, the
// request is sent once more with that one.
func (t *Transport) send(out *http.Request, node string, admitted *admission) (*http.Response, error) {
	if admitted.client == nil || !admitted.handler.mayReplace() {
		return t.nodes.Send(out, node, admitted.kid(), &admitted.attempts)
	}
	return t.nodes.SendRenewing(out, node, &admitted.attempts, func(h http.Header) bool {
		return admitted.renew(out.Context(), h)
	})
}

// errNotSentAgain is why a client gets an answer of the proxy although there is a credential for its next request. A 401
// would be final for clients of Elasticsearch.
var errNotSentAgain = credential.Refuse(credential.Unavailable, nil, "a node refused the client's credential, and there is "+
	"another one now; the proxy does not keep such a long body, so send the request again")

// renew puts another credential into headers, instead of one that a node has refused. It reports whether there is one.
// Without headers the request cannot be sent again, and its client is told to.
func (a *admission) renew(ctx context.Context, headers http.Header) bool {
	h := a.handler
	renewed, err := h.kind.Renewed(ctx, a.wants(), a.credential, h.auditor(a.client, a.certificate))
	a.unsure = err
	if renewed == nil {
		return false
	}
	if times, due := h.warnings.Due("renewed", time.Now()); due {
		h.logRenewed(a.client.Name(), times)
	}
	if headers == nil {
		a.unsure = errNotSentAgain
		return false
	}
	a.credential, a.renewed = renewed, true
	h.rewriter.TakeBack(headers)
	a.set(headers, new([1]string))
	return true
}

// isUnsure reports whether the credential may be good that a node has refused, none can be made right now, or the request
// was not sent again with another one.
func (a *admission) isUnsure() bool { return a.unsure != nil }

// refuseUnsure answers instead of a node that refuses a credential: a client need not ask its operator, but must try again.
func refuseUnsure(req *http.Request, admitted *admission, refused *http.Response) *http.Response {
	_ = refused.Body.Close()
	return refuseToSend(req, admitted, refuseNoCredential(credential.AsRefusal(admitted.unsure)))
}
