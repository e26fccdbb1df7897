package runas

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

const (
	adviceNoSecurity = "the cluster knows no users: the operator must see that it is Elasticsearch, " +
		"and that xpack.security.enabled is not false"
	adviceKeyRefused = "the cluster refuses the proxy's own API key: " +
		"the operator must see that the `key` of run_as is right, and has neither expired nor been invalidated"
	adviceSilent = "the node cannot be asked whether it obeys the header of run_as: try again, " +
		"or see the log of elasticsearch_jwt"
	adviceNotYet  = "the node cannot check the proxy's own API key right now, as when it has just started: try again"
	adviceIgnored = "the node does not obey the header es-security-runas-user, and would serve everybody as the proxy: " +
		"the operator must see that nothing between Caddy and the node removes it, and that it is Elasticsearch"
)

// silent is the refusal for want of an answer that says anything.
func silent(err error) error { return credential.Refuse(credential.Unavailable, err, adviceSilent) }

// who is how a node sees a request.
type who struct {
	Username string                `json:"username"`
	Type     string                `json:"authentication_type"`
	Realm    struct{ Name string } `json:"authentication_realm"` // of the credential
	Lookup   struct{ Name string } `json:"lookup_realm"`         // of the user
}

// whoAmI asks who a request with these headers is.
func whoAmI(header http.Header) cluster.Question {
	return cluster.Question{Method: http.MethodGet, Path: "/_security/_authenticate", Header: header}
}

func parseWho(answer *cluster.Answer) (who, error) {
	var w who
	err := answer.Decode(&w)
	return w, err
}

// isWithoutSecurity reports whether a node with security off answered. It knows no such path, or says it in words.
func isWithoutSecurity(answer *cluster.Answer) bool {
	switch answer.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	case http.StatusInternalServerError:
		return strings.Contains(string(answer.Body), "ecurity is not enabled") ||
			strings.Contains(string(answer.Body), "ecurity must be explicitly enabled")
	default:
		return false
	}
}

// Prove implements [credential.Prover]. A node that obeys the header answers in one of three ways, each of which proves it:
//
//	200  the request is the user, who was looked up in another realm than that of API keys. The name alone proves
//	     nothing: the key can be that user's own
//	403  the key is unauthorized to run as [the user]
//	401  the user is disabled; the same request without the header gets 200, and with it 401 again, as the node may have
//	     just started and not have known the key
//
// After the last two, the client's request goes to the node, which gives it the same answer.
func (r *RunAs) Prove(ctx context.Context, node cluster.Node, c *credential.Credential) error {
	header := http.Header{authorization: {c.Authorization}}
	var user string
	for _, h := range c.Headers {
		header.Set(h.Name, h.Value)
		if h.Name == runAsUser {
			user = h.Value
		}
	}
	answer, err := node.Ask(ctx, whoAmI(header))
	switch {
	case err != nil:
		return silent(err)
	case answer.OK():
		return proves(answer, user)
	case isWithoutSecurity(answer):
		return credential.Refuse(credential.ProxyRefused, answer.Err(), adviceNoSecurity)
	case answer.Status == http.StatusForbidden && strings.Contains(string(answer.Body), "unauthorized to run as ["):
		return nil
	case answer.Status == http.StatusUnauthorized:
		return r.provesWithout(ctx, node, c.Authorization, header, answer)
	default:
		return silent(answer.Err())
	}
}

// proves returns nil if a node says that a request runs as a user.
func proves(answer *cluster.Answer, user string) error {
	w, err := parseWho(answer)
	switch {
	case err != nil:
		return credential.Refuse(credential.ProxyRefused, err, adviceIgnored)
	case w.Username != user:
		return credential.Refuse(credential.ProxyRefused, fmt.Errorf("%s takes a request that runs as %q for %q",
			answer.Node, user, w.Username), adviceIgnored)
	case w.Type != "api_key" || w.Lookup.Name == "" || w.Lookup.Name == w.Realm.Name:
		return credential.Refuse(credential.ProxyRefused, fmt.Errorf("%s says nothing of another user: "+
			"authentication_type %q, lookup_realm %q", answer.Node, w.Type, w.Lookup.Name), adviceIgnored)
	}
	return nil
}

// provesWithout asks with the key alone after a 401. If that is a 200, it is the header that made the difference, or the
// node has just learned the key: so it is asked with the header again. A node that refuses a key which the cluster has
// found good cannot read keys yet.
func (r *RunAs) provesWithout(
	ctx context.Context, node cluster.Node, key string, header http.Header, refused *cluster.Answer,
) error {
	answer, err := node.Ask(ctx, whoAmI(http.Header{authorization: {key}}))
	v := r.verdict.Load()
	switch {
	case err != nil:
		return silent(err)
	case answer.OK():
		again, err := node.Ask(ctx, whoAmI(header))
		switch {
		case err != nil:
			return silent(err)
		case again.Status != http.StatusUnauthorized:
			return credential.Refuse(credential.Unavailable, refused.Err(),
				"the node has just begun to take the proxy's own API key: try again")
		}
		return nil
	case answer.Status == http.StatusUnauthorized && v.isGood() && v.authorization == key:
		return credential.Refuse(credential.Unavailable, refused.Err(), adviceNotYet)
	case answer.Status == http.StatusUnauthorized:
		return credential.Refuse(credential.ProxyRefused, refused.Err(), adviceKeyRefused)
	default:
		return silent(answer.Err())
	}
}
