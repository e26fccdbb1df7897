package esrealm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	e := &apiError{status: http.StatusUnauthorized, typ: "security_exception", reason: reason, challenge: true, security: true}
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
func (e *apiError) object() members {
	o := members{{"type", e.typ}, {"reason", e.reason}}
	for _, name := range slices.Sorted(maps.Keys(e.more)) {
		o = append(o, member{name, e.more[name]})
	}
	if e.challenge {
		o = append(o, member{"header", map[string]any{"WWW-Authenticate": challenges}})
	}
	return o
}

func (e *apiError) write(w http.ResponseWriter) {
	root, cause := e.object(), members(nil)
	if e.root != nil {
		root = e.root.object()
		cause = members{{"caused_by", root}}
	}
	if e.challenge {
		w.Header()["WWW-Authenticate"] = challenges
	}
	if e.security {
		delete(w.Header(), productHeaderName)
	}
	full := slices.Concat(members{{"root_cause", []any{root}}}, e.object(), cause)
	writeJSON(w, e.status, members{{"error", full}, {"status", e.status}})
}

// members is a JSON object whose members keep their order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", e.name) // names are plain
		value, err := json.Marshal(e.value)
		if err != nil {
			return nil, err
		}
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// productHeaderName is spelt as a node spells it.
const productHeaderName = "X-elastic-product"

// writeJSON answers with a JSON body.
func writeJSON(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
