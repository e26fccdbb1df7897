package identity

import (
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// The values of the setting name_characters.
const (
	nameCharactersSafe = "safe"
	nameCharactersAny  = "any"
)

// nameRule says which values of a certificate can be a name.
type nameRule struct {
	safe bool // name_characters is safe
	kind name.Kind
}

// in returns the rule for a placeholder of a template.
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

// takes reports whether the rule allows a character in a name.
func (r nameRule) takes(c rune) bool { return r.check("a"+string(c)+"a") == nil }

// cleanText reports whether a text is not empty, is UTF-8, and has no control characters.
func cleanText(s string) bool { return name.Clean(s) == nil }

// templateOf parses the template of a name.
func (s *Settings) templateOf(source string, kind name.Kind, resolve setting.Resolver) (template, error) {
	t, err := parseTemplate(source, kind == name.Header, resolve)
	t.names = s.nameRule(kind)
	return t, err
}

func (s *Settings) nameRule(kind name.Kind) nameRule {
	return nameRule{safe: s.safeNames(), kind: kind}
}

func (s *Settings) safeNames() bool { return s.NameCharacters != nameCharactersAny }

func (s *Settings) checkNameCharacters() error {
	if s.NameCharacters != nameCharactersSafe && s.NameCharacters != nameCharactersAny {
		return setting.In("name_characters", fmt.Errorf("%q: use safe or any", s.NameCharacters))
	}
	return nil
}
