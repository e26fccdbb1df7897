package apikey

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// managePrivilege is the cluster privilege with which a user can make, renew and delete keys of its own.
const managePrivilege = "manage_own_api_key"

var (
	errSecurityOff = errors.New("the security of the cluster is off, so there are no API keys, and everybody may do " +
		"everything: set xpack.security.enabled to true on each node")
	errKeysOff = errors.New("the cluster has API keys switched off: set xpack.security.authc.api_key.enabled to true, " +
		"or leave it out, on each node")
	errNoCluster = errors.New("the nodes are not known yet")
)

// unreachable says that no node has answered.
func unreachable(err error) error {
	return credential.Refuse(credential.Unavailable, err,
		"no node of the cluster can be asked for an API key right now: try again, or see the log of elasticsearch_jwt")
}

// refusal says why a node has not done what it was asked.
func refusal(a *cluster.Answer) error {
	err := a.Err()
	status, _ := errors.AsType[*cluster.StatusError](err)
	switch {
	case isSecurityOff(a):
		return credential.Refuse(credential.ProxyRefused, errors.Join(errSecurityOff, err),
			"the cluster has no API keys: see the log of elasticsearch_jwt")
	case status != nil && status.Type == "feature_not_enabled_exception":
		return credential.Refuse(credential.ProxyRefused, errors.Join(errKeysOff, err),
			"the cluster has no API keys: see the log of elasticsearch_jwt")
	case a.Status == http.StatusUnauthorized:
		return credential.Refuse(credential.ProxyRefused, err,
			"the cluster refuses the user of `credential api_key`: set the name and the password that it has there")
	case isBlocked(status):
		return credential.Refuse(credential.Unavailable, err,
			"the cluster makes no API key, because it is read-only or full: clients that have one go on")
	case a.Status == http.StatusForbidden:
		return credential.Refuse(credential.ProxyRefused, err,
			"the user of `credential api_key` may not make API keys: give it a role with the cluster privilege "+
				managePrivilege)
	case a.Status == http.StatusTooManyRequests, a.Status >= http.StatusInternalServerError:
		return credential.Refuse(credential.Unavailable, err,
			"the cluster cannot make an API key right now: try again, or see the log of elasticsearch_jwt")
	}
	return credential.Refuse(credential.ProxyRefused, err,
		"the cluster does not take the API key that the client would have, perhaps for a role of `credential api_key`: "+
			"see the log of elasticsearch_jwt")
}

// isBlocked reports whether the cluster is read-only, or an index is: that is a 403 too.
func isBlocked(e *cluster.StatusError) bool {
	return e != nil && (e.Type == "cluster_block_exception" || strings.Contains(e.Reason, "blocked by: ["))
}

// isSecurityOff reports whether a node does not know the API at all.
func isSecurityOff(a *cluster.Answer) bool {
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return false
	}
	return !a.OK() && (bytes.Contains(a.Body, []byte("no handler found for uri")) ||
		bytes.Contains(a.Body, []byte("ecurity must be explicitly enabled")) ||
		bytes.Contains(a.Body, []byte("ecurity is not enabled")))
}
