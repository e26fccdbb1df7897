package esrealm

import (
	"errors"
	"fmt"
	"slices"
)

// header has the members of a JOSE header (RFC 7515 section 4) that a realm uses.
type header struct {
	alg       string
	typ       string
	hasType   bool
	kid       string
	hasKeyID  bool
	crit      []string
	unencoded bool // b64 is false (RFC 7797)
}

// parseHeader reads a header. Like the library, it also checks the types of
// registered members that the realm does not use.
func parseHeader(text []byte, lenient bool) (header, error) {
	m, err := parseObject(text, lenient)
	if errors.Is(err, errNull) {
		return header{}, errHeaderNull
	}
	if err != nil {
		return header{}, err
	}
	members := object(m)
	var h header
	alg, err := members.string("alg")
	if err != nil {
		return header{}, err
	}
	_, encrypted := m["enc"]
	if alg == nil || *alg == "none" || encrypted {
		return header{}, errors.New("alg is not that of a signature")
	}
	h.alg = *alg
	typ, err := members.string("typ")
	if err != nil {
		return header{}, err
	}
	if typ != nil {
		h.typ, h.hasType = *typ, true
	}
	kid, err := members.string("kid")
	if err != nil {
		return header{}, err
	}
	if kid != nil {
		h.kid, h.hasKeyID = *kid, true
	}
	if h.crit, err = members.strings("crit"); err != nil {
		return header{}, err
	}
	if b64, ok := m["b64"]; ok {
		encoded, ok := b64.(bool)
		if !ok {
			return header{}, errors.New("b64 is no boolean")
		}
		h.unencoded = !encoded
	}
	return h, checkUnusedMembers(members)
}

// checkUnusedMembers refuses registered members of a wrong type.
func checkUnusedMembers(members object) error {
	for _, name := range []string{"cty", "x5t", "x5t#S256"} {
		if _, err := members.string(name); err != nil {
			return err
		}
	}
	for _, name := range []string{"jku", "x5u"} {
		u, err := members.string(name)
		if err != nil {
			return err
		}
		if u != nil && !uri.MatchString(*u) {
			return fmt.Errorf("%s is no URI", name)
		}
	}
	switch chain := members["x5c"].(type) {
	case nil:
	case []any:
		if slices.ContainsFunc(chain, func(v any) bool { _, ok := v.(string); return !ok }) {
			return errors.New("x5c holds something else than strings")
		}
	default:
		return errors.New("x5c is no array")
	}
	switch key := members["jwk"].(type) {
	case nil:
	case map[string]any:
		k, err := parseJWK(key)
		if err != nil {
			return fmt.Errorf("jwk: %w", err)
		}
		if k.private {
			return errors.New("jwk is not a public key")
		}
	default:
		return errors.New("jwk is no object")
	}
	return nil
}

// object is a JSON object.
type object map[string]any

// string returns a member that is a string, or nil if it is null or absent.
func (o object) string(name string) (*string, error) {
	switch v := o[name].(type) {
	case nil:
		return nil, nil
	case string:
		return &v, nil
	}
	return nil, fmt.Errorf("%s is no string", name)
}

// strings returns a member that is an array of strings, or nil if it is null or
// absent. A null in the array becomes an empty string.
func (o object) strings(name string) ([]string, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is no array", name)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok && e != nil {
			return nil, fmt.Errorf("%s holds something else than strings", name)
		}
	}
	return out, nil
}
