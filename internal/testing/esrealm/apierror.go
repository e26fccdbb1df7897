package esrealm

import (
	"encoding/json"
	"maps"
	"net/http"
)

// apiError is an error in the form of Elasticsearch's REST API.
type apiError struct {
	status int
	typ    string
	reason string
	more   map[string]any // further members of the error
	root   *apiError      // the error that caused this one, or nil

	challenge bool // whether it has WWW-Authenticate headers
	security  bool // whether it is the security layer's, which does not send X-elastic-product
}

// challenges are the WWW-Authenticate headers of a refusal.
var challenges = []string{`Basic realm="security", charset="UTF-8"`, `Bearer realm="security"`, "ApiKey"}

// unauthenticated returns a 401. The additional text, if there is one, is about
// another way in which the same credentials were tried.
func unauthenticated(reason, additional string) *apiError {
	e := &apiError{
		status: http.StatusUnauthorized, typ: "security_exception", reason: reason, challenge: true, security: true,
	}
	if additional != "" {
		e.more = map[string]any{"additional_unsuccessful_credentials": additional}
	}
	return e
}

// forbidden returns a 403.
func forbidden(reason string) *apiError {
	return &apiError{status: http.StatusForbidden, typ: "security_exception", reason: reason, security: true}
}

func badRequest(typ, reason string) *apiError {
	return &apiError{status: http.StatusBadRequest, typ: typ, reason: reason}
}

// because returns an error of the security layer that this one has caused.
func (e *apiError) because(reason string) *apiError {
	return &apiError{status: e.status, typ: e.typ, reason: reason, root: e, security: true}
}

// object returns the value of the answer's member "error", without the causes.
func (e *apiError) object() map[string]any {
	o := map[string]any{"type": e.typ, "reason": e.reason}
	maps.Copy(o, e.more)
	if e.challenge {
		o["header"] = map[string]any{"WWW-Authenticate": challenges}
	}
	return o
}

func (e *apiError) write(w http.ResponseWriter) {
	full, root := e.object(), e.object()
	if e.root != nil {
		root = e.root.object()
		full["caused_by"] = root
	}
	full["root_cause"] = []any{root}
	if e.challenge {
		w.Header()["WWW-Authenticate"] = challenges
	}
	if e.security {
		delete(w.Header(), productHeaderName)
	}
	writeJSON(w, e.status, map[string]any{"error": full, "status": e.status})
}

// productHeaderName has the spelling of a node, which Go would not choose.
const productHeaderName = "X-elastic-product"

// writeJSON answers with a JSON body.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
