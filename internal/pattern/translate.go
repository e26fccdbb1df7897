package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// translator parses a pattern as Java does, and writes it in Go's syntax.
type translator struct {
	rest string
	out  strings.Builder

	fold  bool   // whether letters match without regard to case
	outer []bool // the value of fold before each group that is open

	repeatable bool // whether a quantifier can follow
}

// translate translates a pattern from Java's syntax, with the flag CASE_INSENSITIVE, to Go's.
func translate(source string) (string, error) {
	if !utf8.ValidString(source) {
		return "", errors.New("the pattern is not UTF-8")
	}
	t := translator{rest: source, fold: true}
	for t.rest != "" {
		if err := t.next(); err != nil {
			return "", fmt.Errorf("%q: %w", source, err)
		}
	}
	if len(t.outer) > 0 {
		return "", fmt.Errorf("%q: a group is not closed: write ), or \\( for a parenthesis", source)
	}
	return t.out.String(), nil
}

// next translates the next element of the pattern.
func (t *translator) next() error {
	c := t.take()
	switch c {
	case '(':
		return t.group()
	case ')':
		if len(t.outer) == 0 {
			return errors.New("a ) closes no group: write \\) for a parenthesis")
		}
		last := len(t.outer) - 1
		t.fold, t.outer = t.outer[last], t.outer[:last]
		t.atom(")")
	case '|':
		t.out.WriteByte('|')
		t.repeatable = false
	case '*', '+', '?':
		return t.quantifier(string(c))
	case '{':
		return t.counted()
	case '.':
		// In Java, these characters end a line.
		t.atom(`[^\n\r\x{85}\x{2028}\x{2029}]`)
	case '^':
		t.anchor(`\A`)
	case '$':
		// In Java it also matches before the line end at the end of the text, but names have none.
		t.anchor(`\z`)
	case '[':
		return t.class()
	case '\\':
		return t.escape()
	default:
		t.literal(c)
	}
	return nil
}

// take removes the next character of the pattern, which must not be at its end, and returns it.
func (t *translator) take() rune {
	r, size := utf8.DecodeRuneInString(t.rest)
	t.rest = t.rest[size:]
	return r
}

// skip removes text from the pattern if it is next, and reports whether it was.
func (t *translator) skip(text string) bool {
	rest, found := strings.CutPrefix(t.rest, text)
	t.rest = rest
	return found
}

// atom writes an element that a quantifier can follow.
func (t *translator) atom(text string) {
	t.out.WriteString(text)
	t.repeatable = true
}

// anchor writes an element that matches at a place, and that no quantifier can follow.
func (t *translator) anchor(text string) {
	t.out.WriteString(text)
	t.repeatable = false
}

// literal writes a character that matches itself. Only letters of ASCII match without regard to case, as
// in Java without UNICODE_CASE.
func (t *translator) literal(r rune) {
	if lower := r | 0x20; t.fold && 'a' <= lower && lower <= 'z' {
		t.atom("[" + string(lower-0x20) + string(lower) + "]")
		return
	}
	t.atom(regexp.QuoteMeta(string(r)))
}

// quantifier translates *, +, ? or {2,3}. Go has no possessive quantifiers, and neither language allows
// two in a row.
func (t *translator) quantifier(text string) error {
	if !t.repeatable {
		return fmt.Errorf("a %s has nothing before it to repeat: write \\%[1]s for the character", text)
	}
	if t.skip("?") {
		text += "?" // reluctant: as few as possible
	}
	if strings.HasPrefix(t.rest, "+") {
		return fmt.Errorf("%s+ is possessive or repeats a repetition, which is not supported: "+
			"write it with one quantifier", text)
	}
	t.out.WriteString(text)
	t.repeatable = false
	return nil
}

var count = regexp.MustCompile(`^[0-9]+(?:,[0-9]*)?\}`)

// counted translates {2}, {2,} and {2,3}. Java refuses any other brace; for Go, it would be a literal.
func (t *translator) counted() error {
	text := count.FindString(t.rest)
	if text == "" {
		return errors.New("a { begins no repetition such as {2,3}: write \\{ for a brace")
	}
	t.rest = t.rest[len(text):]
	return t.quantifier("{" + text)
}

var (
	flags     = regexp.MustCompile(`^\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])`)
	groupName = regexp.MustCompile(`^\?<([a-zA-Z][a-zA-Z0-9]*)>`)
)

// group translates the beginning of a group, after its parenthesis.
func (t *translator) group() error {
	t.repeatable = false
	if !strings.HasPrefix(t.rest, "?") {
		t.open("(")
		return nil
	}
	for _, unsupported := range []struct{ begin, what string }{
		{"?=", "a look-ahead is not supported: write what follows as a part of the pattern, as in (?:,|$)"},
		{"?!", "a look-ahead is not supported: write what may follow as a part of the pattern, as in [^,]"},
		{"?<=", "a look-behind is not supported: write what precedes as a part of the pattern"},
		{"?<!", "a look-behind is not supported: write what may precede as a part of the pattern, as in (?:^|, )"},
		{"?>", "an atomic group is not supported: write (?: and what it must not find, as in [^,]"},
		{"?P", "Java has no (?P: write (?<name> for a group with a name"},
	} {
		if strings.HasPrefix(t.rest, unsupported.begin) {
			return errors.New(unsupported.what)
		}
	}
	if name := groupName.FindStringSubmatch(t.rest); name != nil {
		t.rest = t.rest[len(name[0]):]
		t.open("(?P<" + name[1] + ">")
		return nil
	}
	found := flags.FindStringSubmatch(t.rest)
	if found == nil {
		return errors.New("(? begins no group that Java and this plugin know: use ( ) or (?: )")
	}
	on, off, end := found[1], found[2], found[3]
	for _, flag := range on + off {
		// s and m are about the ends of lines, which no name has. The others (U, x, u, d) change the
		// meaning of characters, or have another meaning in Go.
		if !strings.ContainsRune("ims", flag) {
			return fmt.Errorf("the flag %c is not supported, or means another thing in Java: "+
				"write the pattern without it", flag)
		}
	}
	t.rest = t.rest[len(found[0]):]
	outer := t.fold
	if strings.Contains(on, "i") {
		t.fold = true
	}
	if strings.Contains(off, "i") {
		t.fold = false
	}
	if end == ":" {
		t.outer = append(t.outer, outer)
		t.out.WriteString("(?:")
	}
	return nil // without a colon, a flag holds until the end of the group that it is in
}

// open writes the beginning of a group.
func (t *translator) open(text string) {
	t.outer = append(t.outer, t.fold)
	t.out.WriteString(text)
}

// escape translates an escape outside of a class, after its backslash.
func (t *translator) escape() error {
	t.repeatable = false
	if t.rest == "" {
		return errors.New("it ends with a backslash: write \\\\ for the character")
	}
	switch t.rest[0] {
	case 'A':
		t.rest = t.rest[1:]
		t.anchor(`\A`)
		return nil
	case 'z', 'Z': // \Z also matches before the line end at the end of the text, but names have none
		t.rest = t.rest[1:]
		t.anchor(`\z`)
		return nil
	case 'Q':
		quoted, rest, _ := strings.Cut(t.rest[1:], `\E`) // without an end, Java quotes the rest
		t.rest = rest
		for _, r := range quoted {
			t.literal(r)
		}
		return nil
	case 'b', 'B':
		return fmt.Errorf("\\%c means another thing from Java 19 on than before: "+
			"write what stands there, as in (?:^|, ) or (?:,|$)", t.rest[0])
	}
	if set, ok := t.predefined(); ok {
		t.atom("[" + set + "]")
		return nil
	}
	r, err := t.escaped()
	if err != nil {
		return err
	}
	t.literal(r)
	return nil
}

// predefined reads the letter of \d, \w, \s or their opposites, and returns the same characters for use
// in a class. In Java and Go, they are those of ASCII, but \s has one character more in Java.
func (t *translator) predefined() (string, bool) {
	set, ok := map[byte]string{
		'd': `0-9`, 'D': `\x{0}-/:-\x{10ffff}`,
		'w': `0-9A-Z_a-z`, 'W': "\\x{0}-/:-@\\[-\\^`{-\\x{10ffff}",
		's': `\t-\r `, 'S': `\x{0}-\x{8}\x{e}-\x{1f}!-\x{10ffff}`,
	}[t.rest[0]]
	if ok {
		t.rest = t.rest[1:]
	}
	return set, ok
}

var hexadecimal = regexp.MustCompile(`^(?:x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4}))`)

// escaped reads an escape that is one character, after its backslash.
func (t *translator) escaped() (rune, error) {
	if digits := hexadecimal.FindStringSubmatch(t.rest); digits != nil {
		code, err := strconv.ParseInt(digits[1]+digits[2]+digits[3], 16, 32)
		if r := rune(code); err == nil && utf8.ValidRune(r) {
			t.rest = t.rest[len(digits[0]):]
			return r, nil
		}
		return 0, fmt.Errorf("\\%s is no character of Unicode: write the character itself", digits[0])
	}
	r := t.take()
	switch {
	case r == 't':
		return '\t', nil
	case r == 'n':
		return '\n', nil
	case r == 'r':
		return '\r', nil
	case r == 'f':
		return '\f', nil
	case '1' <= r && r <= '9', r == 'k':
		return 0, fmt.Errorf("\\%c refers back to a group, which is not supported: write the pattern without it", r)
	case r == 'p', r == 'P':
		return 0, fmt.Errorf("\\%c{ } means other characters in each release of Java: "+
			"write them out, as in [^,] or [a-z0-9]", r)
	case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return 0, fmt.Errorf("\\%c is not supported, or means another thing in Java: "+
			"write the character itself, or \\x{ } with its number", r)
	}
	return r, nil
}
