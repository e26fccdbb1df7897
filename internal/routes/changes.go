package routes

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// effect is what a change of a header, behind a handler, does to a request that is sent as it then is.
type effect int

const (
	impersonates effect = iota // the request goes as somebody else
	anonymizes                 // the request goes as nobody
	authorizes                 // it has another shared secret of the proxy
	marks                      // it has a header that says nothing of who the client is
	perhaps                    // one of the above, or nothing
)

// change is a setting that changes a header behind a handler that protects it.
type change struct {
	by     string // header_up or request_header
	header string // as the setting has it
	effect effect
}

// text is the change as a line of a Caddyfile begins.
func (c *change) text() string { return c.by + " " + c.header }

type changesKey struct {
	ops     *headers.HeaderOps
	handler *Handler
}

// changesOf returns the changes that operations make to headers that a handler protects. They are the same ones in
// each call.
func (w *walker) changesOf(ops *headers.HeaderOps, h *Handler, by string) []*change {
	key := changesKey{ops, h}
	if known, ok := w.changes[key]; ok {
		return known
	}
	var changes []*change
	add := func(sign, name string, effect effect) {
		changes = append(changes, &change{by, sign + name, effect})
	}
	addAll := func(sign string, names iter.Seq[string]) {
		for _, name := range slices.Sorted(names) {
			if effect, ok := h.effectOf(name); ok {
				add(sign, name, effect)
			}
		}
	}
	addAll("+", maps.Keys(ops.Add))
	addAll("", maps.Keys(ops.Set))
	if _, all := ops.Replace["*"]; all {
		add("", "*", perhaps)
	}
	addAll("", maps.Keys(ops.Replace))
	for _, pattern := range ops.Delete {
		if strings.Contains(pattern, "{") {
			add("-", pattern, perhaps)
		} else if slices.ContainsFunc(h.Injects, func(name string) bool { return deletes(pattern, name) }) {
			add("-", pattern, anonymizes)
		}
	}
	w.changes[key] = changes
	return changes
}

// effectOf returns what it does to a request to set a header. ok is false if that is none of the handler's business.
func (d *Door) effectOf(name string) (e effect, ok bool) {
	folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
	switch {
	case strings.Contains(name, "{"):
		return perhaps, true
	case folded == "expect" || !d.Protects(name):
		return 0, false
	case folded == "es-client-authentication":
		return authorizes, true
	case folded == "x-elastic-product-origin":
		return marks, true
	default:
		return impersonates, true
	}
}

// deletes reports whether a pattern of Caddy's setting delete matches a header.
func deletes(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	text, before := strings.CutPrefix(pattern, "*")
	text, behind := strings.CutSuffix(text, "*")
	switch {
	case pattern == "*" || before && behind:
		return strings.Contains(name, text)
	case before:
		return strings.HasSuffix(name, text)
	case behind:
		return strings.HasPrefix(name, text)
	default:
		return name == pattern
	}
}
