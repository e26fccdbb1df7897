package esrealm

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The headers in which a client says who it is or who it wants to be.
const (
	headerAuthorization = "Authorization"
	headerClientAuth    = "Es-Client-Authentication"
	headerRunAs         = "Es-Security-Runas-User"
	headerSecondary     = "Es-Secondary-Authorization"
)

// credentials are the headers with which a user authenticates.
type credentials struct{ authorization, client string }

const (
	reasonNobody = "unable to authenticate with provided credentials " +
		"and anonymous access is not allowed for this request"
	reasonError = "error attempting to authenticate request"
	oauth2      = "oauth2 token: invalid token" // a node first takes a bearer token for one of its own
)

func reasonUser(principal, uri string) string {
	return fmt.Sprintf("unable to authenticate user [%s] for REST request [%s]", principal, uri)
}

// authenticate decides who a request runs as.
func (n *Node) authenticate(r *http.Request) (authentication, *apiError) {
	uri := r.RequestURI
	by, principal, refused := n.authenticateUser(r.Context(), uri, credentials{
		r.Header.Get(headerAuthorization), r.Header.Get(headerClientAuth),
	})
	if refused != nil {
		return authentication{}, refused
	}
	auth := authentication{effective: by, by: by}
	if target, ok := r.Header[headerRunAs]; ok {
		if target[0] == "" {
			return authentication{}, unauthenticated(reasonUser(principal, uri), "")
		}
		auth.effective = n.lookup(target[0])
	}
	if secondary := r.Header.Get(headerSecondary); secondary != "" {
		_, _, refused := n.authenticateUser(r.Context(), uri, credentials{secondary, ""})
		if refused != nil {
			return authentication{}, refused.because("Failed to authenticate secondary user")
		}
	}
	return auth, nil
}

// lookup finds the user to run as. It looks in the file realm only, because JWT
// realms cannot look up users. Nobody may run as a user who is in no realm.
func (n *Node) lookup(name string) *user {
	if u, ok := n.users[name]; ok {
		return u.user
	}
	return &user{name: name}
}

// authenticateUser asks the file realm and then the JWT realms, in their order.
// It also returns the name for the user in errors.
func (n *Node) authenticateUser(ctx context.Context, uri string, c credentials) (*user, string, *apiError) {
	scheme, value, _ := strings.Cut(c.authorization, " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && value != "":
		return n.authenticateBasic(uri, value)
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return n.authenticateBearer(ctx, uri, scheme, value, clientSecret(c.client))
	case strings.EqualFold(scheme, "ApiKey") && value != "":
		id, _, _ := parseBasic(value) // an API key has the same form as a password
		return nil, "", unauthenticated(reasonNobody, "API key: unable to find apikey with id "+id)
	}
	return nil, "", unauthenticated(fmt.Sprintf("missing authentication credentials for REST request [%s]", uri), "")
}

func (n *Node) authenticateBasic(uri, value string) (*user, string, *apiError) {
	name, password, err := parseBasic(value)
	if err != nil {
		return nil, "", unauthenticated(err.Error(), "")
	}
	u, ok := n.users[name]
	if !ok || subtle.ConstantTimeCompare([]byte(u.password), []byte(password)) != 1 {
		return nil, "", unauthenticated(reasonUser(name, uri), "")
	}
	return u.user, name, nil
}

// authenticateBearer authenticates with a token. Like a node, it does not take
// the scheme "Bearer" in another case.
func (n *Node) authenticateBearer(ctx context.Context, uri, scheme, value, secret string) (*user, string, *apiError) {
	value = strings.TrimFunc(value, isJavaSpace)
	if scheme != "Bearer" || value == "" || len(n.realms) == 0 {
		return nil, "", unauthenticated(reasonNobody, oauth2)
	}
	t, err := parseToken(value, n.lenient())
	if errors.Is(err, errHeaderNull) {
		return nil, "", unauthenticated(reasonError, "")
	}
	if err != nil {
		n.logf("not a signed JWT: %v", err)
		return nil, "", unauthenticated(reasonNobody, oauth2)
	}
	u, err := n.askRealms(ctx, t, secret)
	if err != nil {
		n.logf("%v", err)
		return nil, "", unauthenticated(reasonUser(t.principal, uri), oauth2)
	}
	return u, t.principal, nil
}

// logf logs why a token was refused. The client does not learn it.
func (n *Node) logf(format string, args ...any) {
	if n.config.Logf != nil {
		n.config.Logf(format, args...)
	}
}

// askRealms offers a token to each JWT realm until one takes it.
func (n *Node) askRealms(ctx context.Context, t *token, secret string) (*user, error) {
	var reasons []error
	for _, realm := range n.realms {
		u, err := realm.authenticate(ctx, t, secret)
		if err == nil {
			return u, nil
		}
		reasons = append(reasons, fmt.Errorf("realm %s: %w", realm.Name, err))
	}
	return nil, errors.Join(reasons...)
}

// clientSecret takes the secret out of "SharedSecret <secret>".
func clientSecret(header string) string {
	const scheme = "SharedSecret "
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return ""
	}
	return strings.TrimFunc(header[len(scheme):], isJavaSpace)
}

func parseBasic(value string) (name, password string, err error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", errors.New("invalid basic authentication header encoding")
	}
	name, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", errors.New("invalid basic authentication header value")
	}
	return name, password, nil
}
