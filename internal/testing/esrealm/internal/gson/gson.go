// Package gson reads JSON objects the way Elasticsearch's JWT library does,
// which hands every JOSE header, claims set and JWK set to Gson's map adapter.
//
// It differs from encoding/json where a verdict on a token depends on it: a
// duplicate member of the outermost object is an error while a nested one
// silently wins, integers keep all 64 bits, numbers beyond them become
// doubles, nesting is limited, a leading byte order mark is skipped and
// malformed UTF-8 is replaced as Java replaces it.
//
// Elasticsearch 9 reads strictly. The library in 8.x is lenient, and takes
// unquoted names, comments and more: see [Lenient].
package gson

import (
	"errors"
	"fmt"
)

// Mode selects one of the two ways in which Elasticsearch's versions read JSON.
type Mode int

const (
	// Strict follows RFC 8259, and limits nesting to 255 levels.
	Strict Mode = iota
	// Lenient is Gson's lenient mode: comments, single quotes, unquoted names
	// and strings, ";" for ",", "=" for ":", and no nesting limit.
	Lenient
)

// MaxDepth is how deeply objects and arrays may be nested in [Strict] mode.
const MaxDepth = 255

// ErrNull is returned for the document null, which Gson reads as no map at all.
var ErrNull = errors.New("the document is null")

// ParseObject reads one JSON object and nothing after it. Values are nil,
// bool, string, int64, float64, []any and map[string]any.
func ParseObject(text string, mode Mode) (map[string]any, error) {
	p := &parser{in: []rune(text), mode: mode}
	if len(p.in) > 0 && p.in[0] == '\ufeff' {
		p.pos++
	}
	p.skipGuard()
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	var members map[string]any
	switch c {
	case '{':
		members, err = p.object(1, true)
	case '[':
		members, err = p.pairs()
	default:
		p.pos--
		var v any
		if v, err = p.value(0); err == nil {
			err = fmt.Errorf("expected an object at offset %d", p.pos)
			if v == nil {
				err = ErrNull
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := p.next(); !errors.Is(err, errEnd) {
		return nil, fmt.Errorf("unexpected text after the object at offset %d", p.pos)
	}
	return members, nil
}

// pairs reads the outermost object in Gson's other notation, an array of
// [name, value] arrays.
func (p *parser) pairs() (map[string]any, error) {
	members := map[string]any{}
	for first := true; ; first = false {
		done, err := p.arrayEnd(first)
		if err != nil || done {
			return members, err
		}
		c, err := p.next()
		if err != nil {
			return nil, err
		}
		if c != '[' {
			return nil, p.errorf("expected a [name, value] pair")
		}
		if done, err = p.arrayEnd(true); err != nil {
			return nil, err
		} else if done {
			return nil, p.errorf("expected a name")
		}
		name, err := p.value(2)
		if err != nil {
			return nil, err
		}
		key, ok := keyOf(name)
		if !ok {
			return nil, p.errorf("expected a string as the name")
		}
		if done, err = p.arrayEnd(false); err != nil {
			return nil, err
		} else if done {
			return nil, p.errorf("expected a value")
		}
		if members[key], err = p.member(members, key, 2); err != nil {
			return nil, err
		}
		if done, err = p.arrayEnd(false); err != nil {
			return nil, err
		} else if !done {
			return nil, p.errorf("expected the end of the pair")
		}
	}
}

// member reads the value of a member of the outermost object.
func (p *parser) member(seen map[string]any, name string, depth int) (any, error) {
	v, err := p.value(depth)
	if err != nil {
		return nil, err
	}
	if _, dup := seen[name]; dup {
		return nil, fmt.Errorf("duplicate member %q", name)
	}
	return v, nil
}

// keyOf is Gson's string adapter, which also takes booleans.
func keyOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return fmt.Sprint(v), true
	case int64:
		return fmt.Sprint(v), true
	}
	return "", false
}
