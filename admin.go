package esjwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI serves, on Caddy's admin endpoint:
//
//	GET  /elasticsearch_jwt/keys                 every key set
//	GET  /elasticsearch_jwt/keys/<set>           one key set
//	GET  /elasticsearch_jwt/keys/<set>/jwks      its JWK Set (RFC 7517)
//	POST /elasticsearch_jwt/keys/<set>/rotate    the next key signs as soon as every cache can know it
//	POST /elasticsearch_jwt/keys/<set>/revoke    {"kid": "…", "now": false} or {"all": true}
//	POST /elasticsearch_jwt/explain              who each handler takes the certificate in the body (PEM or DER) for
//
// No answer has a secret in it.
type adminAPI struct {
	running func() *App // returns the app of the configuration that runs; nil if it has none
}

const (
	adminBase   = "/elasticsearch_jwt"
	adminPath   = adminBase + "/keys"
	explainPath = adminBase + "/explain"
)

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.elasticsearch_jwt",
		New: func() caddy.Module { return &adminAPI{running: runningApp} },
	}
}

// runningApp returns the app of the configuration that runs; nil if it has none. Caddy makes a configuration the
// active one when all its apps have started, and then stops the previous one. So while a configuration is loaded,
// and if it fails to start, this is the app of the previous one.
func runningApp() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("elasticsearch_jwt")
	if err != nil {
		return nil // it is not configured: with an app that fails, the configuration would not run
	}
	return app.(*App)
}

// Routes implements [caddy.AdminRouter].
func (a *adminAPI) Routes() []caddy.AdminRoute {
	handler := caddy.AdminHandlerFunc(a.serve)
	return []caddy.AdminRoute{
		{Pattern: adminPath, Handler: handler},
		{Pattern: adminPath + "/", Handler: handler},
		{Pattern: explainPath, Handler: caddy.AdminHandlerFunc(a.explain)},
	}
}

// maxCertificatesSize is the largest body of a request to explain certificates. A TLS handshake cannot have more.
const maxCertificatesSize = 1 << 19

func (a *adminAPI) explain(w http.ResponseWriter, r *http.Request) error {
	app, err := a.app()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	return post(w, r, func() (any, error) {
		content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCertificatesSize))
		if err != nil {
			return nil, badRequest(fmt.Errorf("reading the certificate: %w", err))
		}
		certs, err := parseCertificates(content)
		if err != nil {
			return nil, badRequest(err)
		}
		explanations, err := app.explain(certs, time.Now())
		if err != nil {
			return nil, badRequest(err)
		}
		return explanations, nil
	})
}

// revokeRequest is the body of a request to revoke a key, or all keys.
type revokeRequest struct {
	KeyID string `json:"kid,omitempty"`
	Now   bool   `json:"now,omitempty"`
	All   bool   `json:"all,omitempty"`
}

func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	app, err := a.app()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, adminPath), "/"), "/")
	if parts[0] == "" {
		return a.list(w, r, app)
	}
	ks, ok := app.sets[parts[0]]
	if !ok {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errUnknownKeySet(parts[0], maps.Keys(app.sets))}
	}
	switch {
	case len(parts) == 1:
		return get(w, r, func() (any, error) { return ks.Status(time.Now()), nil })
	case len(parts) == 2 && parts[1] == "jwks":
		return a.jwks(w, r, ks)
	case len(parts) == 2 && parts[1] == "rotate":
		return change(w, r, ks.Rotate)
	case len(parts) == 2 && parts[1] == "revoke":
		return a.revoke(w, r, ks)
	default:
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("there is nothing at %s", r.URL.Path)}
	}
}

// app returns the app of the configuration that runs now.
func (a *adminAPI) app() (*App, error) {
	app := a.running()
	if app == nil {
		return nil, errors.New("the running configuration has no elasticsearch_jwt in it")
	}
	return app, nil
}

func (*adminAPI) list(w http.ResponseWriter, r *http.Request, app *App) error {
	return get(w, r, func() (any, error) {
		sets := []keyset.Status{}
		for _, name := range slices.Sorted(maps.Keys(app.sets)) {
			sets = append(sets, app.sets[name].Status(time.Now()))
		}
		return sets, nil
	})
}

// errNotPublic says why a set has no JWKS.
var errNotPublic = errors.New("it has no public key that a cluster could read; " +
	"give it the secret itself, as `hmac_key` in its keystore")

func (*adminAPI) jwks(w http.ResponseWriter, r *http.Request, ks *signingSet) error {
	return get(w, r, func() (any, error) {
		if !ks.Source.Public() {
			return nil, fmt.Errorf("the key set %s is a shared secret: %w", ks.Name, errNotPublic)
		}
		doc, err := renderJWKS([]*keyset.Set{ks.Set}, time.Now())
		if err != nil {
			return nil, err
		}
		return json.RawMessage(doc.body), nil
	})
}

func (*adminAPI) revoke(w http.ResponseWriter, r *http.Request, ks *signingSet) error {
	return change(w, r, func(ctx context.Context) (keys.Rotation, error) {
		var request revokeRequest
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err == nil {
			err = strictjson.Unmarshal(body, &request)
		}
		if err != nil {
			return keys.Rotation{}, badRequest(fmt.Errorf(`write {"kid": "…"} or {"all": true}: %w`, err))
		}
		if (request.KeyID == "") != request.All {
			return keys.Rotation{}, badRequest(errors.New(`write {"kid": "…"} or {"all": true}, and not both`))
		}
		if request.All {
			return ks.RevokeAll(ctx)
		}
		return ks.Revoke(ctx, request.KeyID, request.Now)
	})
}

// changeTimeout is how long a rotation or a revocation may take. Nobody else can read or change the keys of the set
// during that time, and they must not wait forever for a storage that does not answer.
const changeTimeout = time.Minute

// change changes the keys of a set. It goes on even if the client that asked for it closes the connection.
func change(w http.ResponseWriter, r *http.Request, do func(context.Context) (keys.Rotation, error)) error {
	return post(w, r, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), changeTimeout)
		defer cancel()
		return do(ctx)
	})
}

func badRequest(err error) error { return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err} }

func get(w http.ResponseWriter, r *http.Request, answer func() (any, error)) error {
	return respond(w, r, http.MethodGet, answer)
}

func post(w http.ResponseWriter, r *http.Request, answer func() (any, error)) error {
	return respond(w, r, http.MethodPost, answer)
}

func respond(w http.ResponseWriter, r *http.Request, method string, answer func() (any, error)) error {
	if r.Method != method {
		w.Header().Set("Allow", method)
		return caddy.APIError{
			HTTPStatus: http.StatusMethodNotAllowed,
			Err:        fmt.Errorf("use %s here, not %s", method, r.Method),
		}
	}
	value, err := answer()
	switch {
	case errors.Is(err, errNoPublicKey):
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	case errors.Is(err, keyset.ErrNotRotator), errors.Is(err, keys.ErrKeyState), errors.Is(err, errNotPublic):
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: err}
	case err != nil:
		if apiError, ok := errors.AsType[caddy.APIError](err); ok {
			return apiError
		}
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
