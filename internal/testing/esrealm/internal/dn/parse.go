package dn

import (
	"encoding/hex"
	"errors"
	"strings"
)

var errNotDN = errors.New("not a distinguished name")

type parser struct {
	s   string
	pos int
}

// parse reads RFC 4514 text, leniently about names and about spaces: "a=b" is
// a name, and so are "" and "=" signs inside values.
func parse(s string) ([][]attribute, error) {
	p := &parser{s: s}
	p.spaces()
	if p.end() {
		return nil, nil
	}
	var rdns [][]attribute
	for {
		r, err := p.rdn()
		if err != nil {
			return nil, err
		}
		rdns = append(rdns, r)
		if p.end() {
			return rdns, nil
		}
		p.pos++ // a comma or a semicolon, which the value ended at
		p.spaces()
		if p.end() {
			return nil, errNotDN
		}
	}
}

func (p *parser) end() bool { return p.pos >= len(p.s) }

func (p *parser) at(chars string) bool {
	return !p.end() && strings.IndexByte(chars, p.s[p.pos]) >= 0
}

func (p *parser) spaces() {
	for p.at(" ") {
		p.pos++
	}
}

// rdn reads one relative name with all of its values.
func (p *parser) rdn() ([]attribute, error) {
	var r []attribute
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		r = append(r, newAttribute(name, value))
		p.spaces()
		switch {
		case p.end() || p.at(",;"):
			return r, nil
		case !p.at("+"):
			return nil, errNotDN
		}
		p.pos++
		p.spaces()
		if p.end() {
			return nil, errNotDN
		}
	}
}

// name reads an attribute's name and the equals sign.
func (p *parser) name() (string, error) {
	start := p.pos
	for !p.end() && !p.at(" =") {
		if p.at(",;") {
			return "", errNotDN
		}
		p.pos++
	}
	name := p.s[start:p.pos]
	p.spaces()
	if name == "" || !p.at("=") {
		return "", errNotDN
	}
	p.pos++
	p.spaces()
	return name, nil
}

func (p *parser) value() (string, error) {
	switch {
	case p.at("#"):
		return p.hexValue()
	case p.at(`"`):
		return p.quotedValue()
	}
	var b strings.Builder
	kept := 0 // how much of b a trailing space cannot be trimmed from
	for !p.end() && !p.at(",;+") {
		if p.at(`"`) {
			return "", errNotDN
		}
		if p.at(`\`) {
			if err := p.escape(&b); err != nil {
				return "", err
			}
			kept = b.Len()
			continue
		}
		b.WriteByte(p.s[p.pos])
		p.pos++
	}
	v := b.String()
	return v[:kept] + strings.TrimRight(v[kept:], " "), nil
}

func (p *parser) quotedValue() (string, error) {
	var b strings.Builder
	p.pos++
	for !p.end() {
		switch {
		case p.at(`"`):
			p.pos++
			return b.String(), nil
		case p.at(`\`):
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(p.s[p.pos])
			p.pos++
		}
	}
	return "", errNotDN
}

// escape reads a backslash and what it escapes: a character, or the two
// hexadecimal digits of a byte.
func (p *parser) escape(b *strings.Builder) error {
	p.pos++
	if p.end() {
		return errNotDN
	}
	if !p.at("0123456789abcdefABCDEF") {
		b.WriteByte(p.s[p.pos])
		p.pos++
		return nil
	}
	if p.pos+2 > len(p.s) {
		return errNotDN
	}
	octet, err := hex.DecodeString(p.s[p.pos : p.pos+2])
	if err != nil {
		return errNotDN
	}
	b.Write(octet)
	p.pos += 2
	return nil
}

// hexValue reads "#" and the hexadecimal digits of a BER value.
func (p *parser) hexValue() (string, error) {
	p.pos++
	start := p.pos
	for p.at("0123456789abcdefABCDEF") {
		p.pos++
	}
	v, err := hex.DecodeString(p.s[start:p.pos])
	if err != nil {
		return "", errNotDN
	}
	return string(v), nil
}
