package esrealm

import (
	"encoding/json"
	"maps"
	"net/http"
)

// apiError is an error as Elasticsearch's REST API tells it.
type apiError struct {
	status int
	typ    string
	reason string
	more   map[string]any // further members of the error
	root   *apiError      // what it comes from, if not from itself

	challenge bool // has WWW-Authenticate headers
	security  bool // comes from the security layer, which leaves out X-elastic-product
}

// challenges are the WWW-Authenticate headers of a refusal.
var challenges = []string{`Basic realm="security", charset="UTF-8"`, `Bearer realm="security"`, "ApiKey"}

// unauthenticated is a 401. Other credentials that failed are named in a member
// of their own.
func unauthenticated(reason, additional string) *apiError {
	e := &apiError{
		status: http.StatusUnauthorized, typ: "security_exception", reason: reason, challenge: true, security: true,
	}
	if additional != "" {
		e.more = map[string]any{"additional_unsuccessful_credentials": additional}
	}
	return e
}

// forbidden is a 403.
func forbidden(reason string) *apiError {
	return &apiError{status: http.StatusForbidden, typ: "security_exception", reason: reason, security: true}
}

func badRequest(typ, reason string) *apiError {
	return &apiError{status: http.StatusBadRequest, typ: typ, reason: reason}
}

// because is an error of the security layer that comes from this one.
func (e *apiError) because(reason string) *apiError {
	return &apiError{status: e.status, typ: e.typ, reason: reason, root: e, security: true}
}

// object is the error without what surrounds it.
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

// productHeaderName is spelt as a node spells it.
const productHeaderName = "X-elastic-product"

// writeJSON answers with a JSON body.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
