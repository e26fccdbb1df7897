package cluster

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// User is a credential of the proxy's own.
type User struct {
	name          string // the user name, or the ID of an API key
	authorization string
	password      string
}

// Scheme is a kind of credential.
type Scheme string

// The schemes of [ParseUser].
const (
	Basic  Scheme = "Basic"
	APIKey Scheme = "ApiKey"
)

// ErrNoColon is the error of [ParseUser] for what is neither a user with its password nor an API key.
var ErrNoColon = errors.New("it has no colon: write `user:password`, or `ApiKey <encoded>`")

// ErrNotEncoded is the error of [ParseUser] for an API key that is written in another way.
var ErrNotEncoded = errors.New("it begins with ApiKey, and what follows is not what Elasticsearch calls encoded: " +
	"the base64 of the key's id, a colon and its api_key")

// ParseUser parses the content of a file or a variable: `user:password`, or `ApiKey <encoded>`, where the encoded key
// is what Elasticsearch's answer calls encoded. Line ends after it are dropped. An error has none of the content in it.
func ParseUser(content []byte) (User, error) {
	text := strings.TrimRight(string(content), "\r\n")
	switch {
	case strings.TrimSpace(text) == "":
		return User{}, errors.New("it is empty")
	case strings.ContainsAny(text, "\r\n\x00"):
		return User{}, errors.New("it has several lines: write one")
	}
	if scheme, encoded, ok := strings.Cut(text, " "); ok && strings.EqualFold(scheme, string(APIKey)) {
		encoded = strings.TrimSpace(encoded)
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		id, _, found := strings.Cut(string(decoded), ":")
		if err != nil || !found || id == "" {
			return User{}, ErrNotEncoded
		}
		return User{name: id, authorization: string(APIKey) + " " + encoded, password: encoded}, nil
	}
	name, password, ok := strings.Cut(text, ":")
	switch {
	case strings.EqualFold(name, "Authorization") || strings.EqualFold(name, string(APIKey)):
		return User{}, errors.New("it begins with a name and a colon: of an API key write `ApiKey <encoded>`, " +
			"with a blank and no colon")
	case !ok:
		return User{}, ErrNoColon
	case name == "" || password == "":
		return User{}, errors.New("the user's name or its password is missing: write `user:password`")
	}
	return User{
		name:          name,
		authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(text)),
		password:      password,
	}, nil
}

// Scheme returns the kind of the credential.
func (u User) Scheme() Scheme {
	if strings.HasPrefix(u.authorization, string(APIKey)+" ") {
		return APIKey
	}
	return Basic
}

// Name returns the user's name, or the ID of the API key. It is no secret.
func (u User) Name() string { return u.name }

// Authorization returns the value of the header Authorization.
func (u User) Authorization() string { return u.authorization }

// Secret returns the password, or the encoded API key.
func (u User) Secret() string { return u.password }

// Header returns the header Authorization alone.
func (u User) Header() http.Header { return http.Header{"Authorization": {u.authorization}} }

// String returns the name, so that no log has the secret.
func (u User) String() string { return u.name }

// GoString returns the same as String.
func (u User) GoString() string { return u.name }
