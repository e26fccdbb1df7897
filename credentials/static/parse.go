package static

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

// table has the credentials in the order of the lines.
type table []entry

// entry is a group with its credential.
type entry struct {
	group         string
	authorization string // the scheme, a blank and the value
}

// scheme returns the scheme of the credential. It is no secret, unless words of the line are in the wrong order.
func (e entry) scheme() string {
	scheme, _, _ := strings.Cut(e.authorization, " ")
	return scheme
}

// The schemes that something is known of.
const (
	schemeAPIKey = "ApiKey"
	schemeBasic  = "Basic"
	schemeBearer = "Bearer"
)

var schemes = []string{schemeAPIKey, schemeBasic, schemeBearer}

// isScheme reports whether a word is a scheme of which something is known.
func isScheme(word string) bool {
	return slices.ContainsFunc(schemes, func(known string) bool { return strings.EqualFold(word, known) })
}

// shownScheme returns the scheme and a blank, for a person; "" if it is none that is known, and so perhaps a secret in the
// wrong place.
func (e entry) shownScheme() string {
	for _, known := range schemes {
		if strings.EqualFold(e.scheme(), known) {
			return known + " "
		}
	}
	return ""
}

const blanks = " \t"

// parseFile parses the file. Its errors name the lines, and have nothing of a credential in them.
func parseFile(content []byte) (table, error) {
	text, err := textfile.Decode(content)
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(text):
		return nil, errors.New("it is not UTF-8: save it as UTF-8")
	}
	var (
		parsed   table
		problems textfile.Problems
		lines    = make(map[string]int) // of the groups
		number   int
	)
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.Trim(line, blanks+"\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if err != nil {
			problems.Add(number, err)
			continue
		}
		if before, twice := lines[e.group]; twice {
			problems.Add(number, fmt.Errorf("the group %q is in line %d too: keep one of them", e.group, before))
			continue
		}
		lines[e.group] = number
		parsed = append(parsed, e)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(parsed) == 0 {
		return nil, errors.New("it has no credential in it: write a line `<group> <scheme> <value>` for each group")
	}
	return parsed, nil
}

// parseLine parses a line, which is not empty and has no blanks around it.
func parseLine(line string) (entry, error) {
	var group, rest string
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		var closed bool
		if group, rest, closed = strings.Cut(quoted, `"`); !closed {
			return entry{}, errors.New("the group begins with a quote, and no other one ends it")
		}
		if rest != "" && !strings.ContainsAny(rest[:1], blanks) {
			return entry{}, errors.New("the quote that ends the group is not followed by a blank: " +
				"a group cannot have a quote in it")
		}
	} else if i := strings.IndexAny(line, blanks); i >= 0 {
		group, rest = line[:i], line[i:]
	} else {
		group = line
	}
	switch quoted := line[0] == '"'; {
	case isScheme(group) && !quoted:
		return entry{}, errors.New("the line begins with the scheme of a credential: write the group before it, " +
			"in quotes if it has that name")
	case strings.HasSuffix(group, ":") && !quoted:
		return entry{}, errors.New("the group ends with a colon: leave that out, or write the group in quotes if it has one")
	}
	if err := checkGroup(group); err != nil {
		return entry{}, err
	}
	authorization, err := parseCredential(rest)
	return entry{group, authorization}, err
}

// checkGroup checks that a client can have a group.
func checkGroup(group string) error {
	switch {
	case group == "":
		return errors.New("the group has no name")
	case strings.Trim(group, blanks) != group:
		return errors.New("the name of the group begins or ends with a blank, which no group of a client does")
	case strings.ContainsFunc(group, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the name of the group has a control character")
	}
	return nil
}

// parseOne parses a file or a variable with one credential, without its group.
func parseOne(content []byte) (string, error) {
	text, err := textfile.Decode(content)
	if err != nil {
		return "", err
	}
	line := strings.TrimRight(string(text), "\r\n")
	if strings.ContainsAny(line, "\r\n") {
		return "", errors.New("it has several lines: write one, with a scheme and a value")
	}
	return parseCredential(line)
}

// parseCredential checks that a header can carry a credential: a scheme (RFC 9110 section 11.1), a blank and a value.
// More is not known of them, with three exceptions, of which a mistake would show as a 401 without a reason. The errors
// have nothing of it in them.
func parseCredential(text string) (string, error) {
	scheme, value, found := cut(text)
	switch {
	case scheme == "":
		return "", errors.New("there is no credential: write its scheme and its value, as in `ApiKey …`")
	case strings.HasSuffix(scheme, ":"):
		return "", errors.New("it begins with the name of a header: write what follows the colon, as in `ApiKey …`")
	case !found:
		return "", errors.New("the credential has one word, and the scheme is missing: " +
			"write `ApiKey ` before an API key, `Bearer ` before a token")
	case !httpguts.ValidHeaderFieldName(scheme):
		return "", errors.New("the scheme is none (RFC 9110): write the scheme, one blank and the value, as in `ApiKey …`")
	case strings.ContainsAny(value, blanks):
		return "", errors.New("the credential has more than two words: write a scheme and a value; " +
			"a group with a blank in it goes in quotes, and a comment has a line of its own")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("the value has something else in it than printable ASCII, which no header can carry")
	case strings.EqualFold(scheme, schemeBearer) && scheme != schemeBearer:
		// Elasticsearch takes a request with another spelling for one without a credential.
		return "", errors.New("write `Bearer` with a capital B, which is the only spelling that Elasticsearch knows")
	case strings.EqualFold(scheme, schemeBasic):
		return basic(value)
	case strings.EqualFold(scheme, schemeAPIKey) && strings.Contains(value, ":"):
		return "", errors.New("it is the id and the secret of an API key: write what Elasticsearch's answer calls encoded")
	}
	return scheme + " " + value, nil
}

// cut cuts a text at its first blanks.
func cut(text string) (word, rest string, found bool) {
	text = strings.Trim(text, blanks)
	i := strings.IndexAny(text, blanks)
	if i < 0 {
		return text, "", false
	}
	return text[:i], strings.TrimLeft(text[i:], blanks), true
}

// basic checks the value of a Basic credential (RFC 7617 section 2).
func basic(value string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(value)
	if err != nil || !strings.Contains(string(decoded), ":") {
		return "", errors.New("the value of Basic is the base64 of `user:password`, " +
			"which `printf %s user:password | base64 -w0` prints")
	}
	return schemeBasic + " " + value, nil
}
