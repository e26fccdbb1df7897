// Package rolemapping reads Elasticsearch's role_mapping.yml, the file that says
// which roles a distinguished name has in the PKI, LDAP and Active Directory realms.
// JWT realms do not read it.
//
//	monitoring:
//	  - "cn=admins,dc=example,dc=com"
//	user:
//	  - "CN=Doe\\, John,OU=users,O=example"
//
// Names are compared as Elasticsearch compares them: see x500.Normalize.
//
// Elasticsearch skips what it does not understand in this file, and reports it only
// in its log. Some YAML does not mean what it seems to: Elasticsearch splits a text
// in place of a list at each comma, ignores a role with a dot in its name, and reads
// an alias as plain text. All of these are errors here. A file that is refused is
// better than a role that is lost or gained without notice.
package rolemapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

const (
	// MaxSize is how many bytes the file can have. That is enough for 50,000 names.
	MaxSize = 4 << 20

	// maxRoleName is Elasticsearch's limit for the name of a role.
	maxRoleName = 507
)

// Mapping says which roles a distinguished name has. It does not change after
// Parse and may be used by many goroutines.
type Mapping struct {
	roles  map[string][]string // by the normal form of the name, sorted
	doubts textfile.Problems
}

// Parse reads role_mapping.yml. The mapping of an empty file has no names. The error
// names the lines to mend.
func Parse(data []byte) (*Mapping, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("role mapping: the file has %d bytes, more than %d", len(data), MaxSize)
	}
	root, err := document(data)
	if err != nil {
		return nil, fmt.Errorf("role mapping: %w", err)
	}
	p := parser{roles: map[string][]string{}, firstLine: map[string]int{}}
	if root != nil {
		p.file(root)
	}
	if err := p.problems.Err(); err != nil {
		return nil, fmt.Errorf("role mapping: %w", err)
	}
	for _, roles := range p.roles {
		slices.Sort(roles)
	}
	return &Mapping{roles: p.roles, doubts: p.doubts}, nil
}

// Doubts names the lines that hardly do what they seem to, or returns nil. They are no errors, since
// Elasticsearch takes them too, and may match in an odd case:
//
//	CN=*,OU=admins    Elasticsearch has no wildcards in this file: only a certificate with CN=* matches
//	CN=J\F6rg         is no escape of RFC 2253: the name of hardly any certificate
func (m *Mapping) Doubts() error { return m.doubts.Err() }

// Roles returns the roles of a distinguished name, sorted. It returns none for a
// text that is empty or not a distinguished name.
func (m *Mapping) Roles(dn string) []string {
	normal, err := x500.Normalize(dn)
	if err != nil {
		return nil
	}
	return slices.Clone(m.roles[normal])
}

// Len returns the number of distinguished names that have a role.
func (m *Mapping) Len() int { return len(m.roles) }

// document returns the root of the only YAML document in data, or nil if it is
// empty.
func document(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			return nil, fmt.Errorf("line %d: a second YAML document; put all roles into one", second.Line)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// parser collects the names of a file and what is wrong with it.
type parser struct {
	roles     map[string][]string
	firstLine map[string]int // of each role
	problems  textfile.Problems
	doubts    textfile.Problems
}

func (p *parser) problem(at *yaml.Node, format string, args ...any) {
	p.problems.Add(at.Line, fmt.Errorf(format, args...))
}

// file reads the roles and their lists.
func (p *parser) file(root *yaml.Node) {
	if root.Kind != yaml.MappingNode || !p.plain(root) {
		p.problem(root, "expected roles, each with a list of distinguished names:\n  role:\n    - \"cn=…\"")
		return
	}
	for pair := range slices.Chunk(root.Content, 2) {
		key, value := pair[0], pair[1]
		if role, ok := p.role(key); ok {
			p.names(role, value)
		}
	}
}

// plain refuses anchors, aliases and tags, which Elasticsearch does not read as YAML
// defines them.
func (p *parser) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.problem(n, "anchors and aliases mean nothing to Elasticsearch; write the list out")
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(n, "tag %s; write plain text", n.Tag)
	default:
		return true
	}
	return false
}

// role reads the name of a role.
func (p *parser) role(key *yaml.Node) (string, bool) {
	if !p.plain(key) {
		return "", false
	}
	role := key.Value
	first, seen := p.firstLine[role]
	switch {
	case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" || key.ShortTag() == "!!merge":
		p.problem(key, "expected the name of a role")
	case seen:
		p.problem(key, "role %q is already on line %d; put its names into one list", role, first)
	case strings.Contains(role, "."):
		p.problem(key, "role %q: Elasticsearch ignores a role with a dot in its name here; rename the role", role)
	case !validRole(role):
		p.problem(key, "role %q: the name of a role is 1 to %d printable ASCII characters "+
			"without spaces around it", role, maxRoleName)
	default:
		p.firstLine[role] = key.Line
		return role, true
	}
	return "", false
}

// validRole reports whether Elasticsearch allows the name of a role.
func validRole(role string) bool {
	return role != "" && len(role) <= maxRoleName && strings.TrimSpace(role) == role &&
		!strings.ContainsFunc(role, func(r rune) bool { return r < ' ' || r > '~' })
}

// names reads the list of a role.
func (p *parser) names(role string, list *yaml.Node) {
	if !p.plain(list) {
		return
	}
	if list.Kind != yaml.SequenceNode {
		p.problem(list, "role %q: expected a list of distinguished names, "+
			"one on each line after a \"- \" (Elasticsearch splits a text at its commas)", role)
		return
	}
	for _, item := range list.Content {
		switch {
		case !p.plain(item):
		case item.Kind != yaml.ScalarNode:
			p.problem(item, "role %q: expected a distinguished name, found a list or a mapping", role)
		default:
			p.name(role, item)
		}
	}
}

// name reads one distinguished name.
func (p *parser) name(role string, item *yaml.Node) {
	normal, err := x500.Normalize(item.Value)
	if err != nil {
		p.problem(item, "role %q: %q: %w", role, item.Value, err)
		return
	}
	if normal == "" || item.ShortTag() == "!!null" {
		p.problem(item, "role %q: an empty name, which every certificate without a subject would match", role)
		return
	}
	if x500.HasWildcard(item.Value) {
		p.doubts.Add(item.Line, fmt.Errorf("role %q: there are no wildcards in this file: the * stands for itself", role))
	}
	if err := x500.CheckEscapes(item.Value); err != nil {
		p.doubts.Add(item.Line, fmt.Errorf("role %q: %w", role, err))
	}
	if !slices.Contains(p.roles[normal], role) {
		p.roles[normal] = append(p.roles[normal], role)
	}
}
