package esjwt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/nodefault"
)

// This file listens to the nodes: a node that refuses what the proxy has let in tells the client no reason, and nobody
// but the operator can do something about it. The client gets the node's answer as it is.

// sent is what a request went to a node with.
type sent struct {
	*admission
	secret bool // whether the shared secret was there too
}

// isRefusal reports whether an answer of a node may refuse the client.
func isRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// listen counts and logs a node's refusal.
func (t *Transport) listen(with sent, node string, res *http.Response) {
	switch {
	case with.client == nil:
	case res.StatusCode == http.StatusUnauthorized:
		metrics.clusterRefused.unauthorized.Inc()
		with.warnOfUnauthorized(node)
	case res.StatusCode == http.StatusForbidden && saysNothing(res):
		with.forbidden(node)
	case res.StatusCode == http.StatusForbidden:
		res.Body = &overheard{ReadCloser: res.Body, heard: func() { with.forbidden(node) }}
	}
}

// saysNothing reports whether an answer has no body that could say who refuses: of HEAD, or a compressed one.
func saysNothing(res *http.Response) bool {
	return res.ContentLength == 0 || res.Body == nil || res.Body == http.NoBody ||
		res.Header.Get("Content-Encoding") != ""
}

// overheard is the body of a 403 whose beginning is looked at while reverse_proxy reads it. A 403 can be about something
// else than the user, such as an index that is read-only, and only the body says so.
type overheard struct {
	io.ReadCloser
	beginning []byte
	heard     func() // called if the security layer refuses; nil: that is decided
}

// maxBeginning is how much of a body is looked at. Elasticsearch and OpenSearch name the error at its beginning.
const maxBeginning = 512

// Read implements [io.Reader].
func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if o.heard == nil {
		return n, err
	}
	o.beginning = append(o.beginning, p[:min(n, maxBeginning-len(o.beginning))]...)
	switch {
	case bytes.Contains(o.beginning, []byte(eserror.Security)):
		o.heard()
		o.heard = nil
	case len(o.beginning) == maxBeginning:
		o.heard = nil
	}
	return n, err
}

// sentClaims are what a client's token says, as far as realms compare it with their settings.
type sentClaims struct {
	issuer    string
	audiences []string
	groups    int
}

// claims reads the claims of the client's tokens.
func (c *sent) claims() (sent sentClaims) {
	var members map[string]json.RawMessage
	if json.Unmarshal(fmt.Appendf(nil, "{%s}", bytes.TrimSuffix(c.client.Claims.Members, []byte(","))), &members) != nil {
		return sentClaims{}
	}
	var groups []string
	_ = json.Unmarshal(members["iss"], &sent.issuer)
	_ = json.Unmarshal(members[c.handler.AudienceClaim], &sent.audiences)
	_ = json.Unmarshal(members[c.handler.GroupsClaim], &groups)
	sent.groups = len(groups)
	return sent
}

// warnOfUnauthorized warns of a 401, which most often means that the realm's settings are others than the handler's.
func (c *sent) warnOfUnauthorized(node string) {
	times, due := c.handler.warnings.Due("the cluster's 401", time.Now())
	if !due {
		return
	}
	if c.handler.cache != nil {
		c.warnOfCredential(node, times)
		return
	}
	sent, algorithm := c.claims(), c.handler.keys.algorithmOf(c.kid())
	advice := nodefault.Unauthorized(nodefault.Token{
		Issuer: sent.issuer, Type: c.handler.TokenType, Algorithm: algorithm, Keys: c.handler.Keys, WithSecret: c.secret,
	})
	c.handler.logger.Warn("a node refuses tokens of this proxy with 401 (this is logged once a minute)",
		zap.String("node", node),
		zap.String("advice", advice),
		zap.Int("times", times),
		zap.String("user", c.client.Name()),
		zap.String("issuer", sent.issuer),
		zap.Strings("audience", sent.audiences),
		zap.String("algorithm", algorithm),
		zap.String("token_type", c.handler.TokenType),
		zap.String("keys", c.handler.Keys),
		zap.String("kid", c.kid()),
		zap.Bool("shared_secret", c.secret),
	)
}

// warnOfCredential warns of a 401 to a credential that is no token.
func (c *sent) warnOfCredential(node string, times int) {
	c.handler.logger.Warn("a node refuses credentials of this proxy with 401 (this is logged once a minute)",
		zap.String("node", node),
		zap.String("kind", c.handler.credentialKind()),
		zap.String("advice", c.needsOf()),
		zap.Int("times", times),
		zap.String("user", c.client.Name()),
		zap.String("credential_id", c.credential.ID),
	)
}

// needsOf returns what the client's credential needs of the cluster, for a log line.
func (c *sent) needsOf() string {
	e, err := c.handler.cache.Maker().Explain(c.wants())
	if err != nil || len(e.Needs) == 0 {
		return "the node's own log has the reason"
	}
	return "see that the cluster has what this kind of credential needs: " + strings.Join(append(e.Needs, e.Missing...), "; ")
}

// forbidden counts and logs a 403. It is often as it should be, so it is no warning, unless the token has no groups
// that a role mapping could match.
func (c *sent) forbidden(node string) {
	metrics.clusterRefused.forbidden.Inc()
	const mapping = "give the user a role, with a role mapping on realm.name and on a group or the username; " +
		"GET /_security/_authenticate (OpenSearch: /_plugins/_security/authinfo) through Caddy shows what the node has"
	level, what, advice := zapcore.InfoLevel, "a node refuses users of this proxy with 403", mapping
	if c.client.Groupless && c.handler.cache == nil {
		wanted := strings.Join(c.handler.identifier.GroupSettings(), ", ")
		level, what = zapcore.WarnLevel, "a node refuses users of this proxy with 403, whose tokens have no groups"
		advice = "the certificate has no value for " + wanted + ": issue it with one, " +
			"or name another value with `groups`, such as `groups {cert.ou}`; " +
			"if it shall have no groups, write `groups off`, and " + mapping
	}
	times, due := c.handler.warnings.Due(what, time.Now())
	if !due {
		return
	}
	groups := c.claims().groups
	if c.handler.cache != nil {
		advice, groups = c.needsOf(), len(c.client.Groups)
	}
	c.handler.logger.Log(level, what+" (this is logged once a minute)",
		zap.String("node", node),
		zap.String("advice", advice),
		zap.Int("times", times),
		zap.String("user", c.client.Name()),
		zap.Int("groups", groups),
		zap.String("certificate_serial", c.client.Serial),
	)
}

// algorithmOf returns the algorithm of the key with that ID.
func (s *signingSet) algorithmOf(kid string) string {
	if current := s.State.Current(); current != nil {
		for i := range current.Records {
			if current.Records[i].ID == kid {
				return string(current.Records[i].Algorithm)
			}
		}
	}
	return "unknown"
}
