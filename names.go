package esjwt

import (
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// What name_characters can be.
const (
	nameCharactersSafe = "safe"
	nameCharactersAny  = "any"
)

// nameRule is which values of a certificate can be a name.
type nameRule struct {
	safe bool // not only what is clean
	kind name.Kind
}

// in is the rule for a placeholder of a template.
func (r nameRule) in(p templatePart) nameRule {
	if p.isDN() {
		r.kind = name.DN
	}
	return r
}

func (r nameRule) check(s string) error {
	if !r.safe {
		return name.Clean(s)
	}
	return name.Safe(s, r.kind)
}

// takes reports whether a name can have a character in it.
func (r nameRule) takes(c rune) bool { return r.check("a"+string(c)+"a") == nil }

// cleanText reports whether a text can be a name at all.
func cleanText(s string) bool { return name.Clean(s) == nil }

// refuseName refuses a certificate for a name in it, which what describes. The text of the error has nothing of the
// name in it; what is behind it has the character by its number, for the operator.
func refuseName(r reason, what, setting string, err error) *Refusal {
	const (
		reissue = "issue the certificate with a name in UTF-8 and without control characters"
		orAllow = "issue the certificate without, or allow such names with name_characters"
	)
	switch problem := name.ProblemOf(err); problem {
	case "":
		return refuse(r, "%s is ambiguous or cannot be read: "+
			"issue the certificate with a single name in UTF-8 and without control characters", what).because(setting, err)
	case name.Empty, name.NotUTF8, name.Control:
		return refuse(r, "%s %s: %s", what, problem, reissue).because(setting, err)
	default:
		return refuse(r, "%s %s: %s", what, problem, orAllow).because(setting, err)
	}
}

// templateOf parses a setting that makes a name of a certificate.
func (h *Handler) templateOf(source string, kind name.Kind, resolve setting.Resolver) (template, error) {
	t, err := parseTemplate(source, kind == name.Header, resolve)
	t.names = h.nameRule(kind)
	return t, err
}

func (h *Handler) nameRule(kind name.Kind) nameRule {
	return nameRule{safe: h.safeNames(), kind: kind}
}

func (h *Handler) safeNames() bool { return h.NameCharacters != nameCharactersAny }

func (h *Handler) checkNameCharacters() error {
	if h.NameCharacters != nameCharactersSafe && h.NameCharacters != nameCharactersAny {
		return setting.In("name_characters", fmt.Errorf("%q: use safe or any", h.NameCharacters))
	}
	return nil
}
