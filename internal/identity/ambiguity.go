package identity

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Warn logs a warning for each setting that can make the same name of two different certificates, and for each header
// whose name is probably mistyped.
func (p *Profile) Warn(logger *zap.Logger) {
	p.warnOfMisspelt(logger)
	p.eachTemplate(func(setting string, t template) {
		if example := t.ambiguity(); example != "" {
			logger.Warn("two certificates can become the same name here: "+example+"; "+
				"use one placeholder, or join them with a character that name_characters safe keeps out of names, "+
				"such as |",
				zap.String("setting", setting))
		}
	})
}

// eachTemplate calls a function with each template that makes a name, and with its setting.
func (p *Profile) eachTemplate(do func(setting string, t template)) {
	do(p.principal.setting, p.principal.template)
	for i := range p.groups {
		do(p.groups[i].setting(), p.groups[i].template)
	}
	for _, c := range p.claims {
		for _, t := range c.values {
			do("claim "+c.name, t)
		}
	}
	for _, h := range p.headers {
		do("header "+h.Name, h.template)
	}
}

// ambiguity returns an example of two certificates for which the template gives the same text, or "" if there are no
// such certificates:
//
//	{cert.cn}@{cert.o}    a@b@c is CN=a@b with O=c, and CN=a with O=b@c
//	{cert.cn}|{cert.o}    if names can have no |, each text is of one certificate
func (t template) ambiguity() string {
	values, between := t.joined()
	// Leave out the values at either end whose length is certain. If two are left, they are ambiguous.
	for len(values) > 1 && t.tells(values[0], between[0]) {
		values, between = values[1:], between[1:]
	}
	for len(values) > 1 && t.tells(values[len(values)-1], between[len(between)-1]) {
		values, between = values[:len(values)-1], between[:len(between)-1]
	}
	if len(values) < 2 || !slices.ContainsFunc(values, func(p templatePart) bool { return p.name != values[0].name }) {
		return ""
	}
	a, b, join := values[0].name, values[1].name, between[0]
	return fmt.Sprintf("%s=%q with %s=%q, and %[1]s=%[5]q with %[3]s=%[6]q",
		a, "x"+join+"y", b, "z", "x", "y"+join+"z")
}

// joined returns the template's placeholders, and the text between each and the next.
func (t template) joined() (values []templatePart, between []string) {
	var text strings.Builder
	for _, p := range t.parts {
		switch {
		case p.value == nil:
			text.WriteString(p.text)
			continue
		case len(values) > 0:
			between = append(between, text.String())
		}
		values = append(values, p)
		text.Reset()
	}
	return values, between
}

// tells reports whether the text beside a value shows where the value begins or ends: the text has a character that the
// value cannot have.
func (t template) tells(value templatePart, text string) bool {
	if value.name == "fingerprint" {
		return true // it always has the same length
	}
	return strings.ContainsFunc(text, func(c rune) bool {
		switch value.name {
		case "serial":
			return !strings.ContainsRune("0123456789abcdef", c)
		case "san.ip":
			return !strings.ContainsRune("0123456789abcdef.:", c)
		default:
			return !t.names.in(value).takes(c)
		}
	})
}
