package esrealm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deeply objects and arrays may be nested in strict mode.
const maxDepth = 255

// errNull is returned for the document null.
var errNull = errors.New("the document is null")

// parseObject reads a JOSE header, a claims set or a JWK set. Elasticsearch's JWT
// library reads them with Gson, which differs from encoding/json:
//
//   - Two members of the outermost object must not have the same name. In a nested
//     object, the last one counts.
//   - Integers keep all 64 bits.
//   - [["a",1]] is another spelling of {"a":1}.
//   - In the lenient mode, it reads much that is not JSON; see [strict].
//
// Elasticsearch 8 uses the lenient mode, Elasticsearch 9 the strict one. Values
// are nil, bool, string, int64, float64, []any and map[string]any.
func parseObject(document []byte, lenient bool) (map[string]any, error) {
	text := strings.TrimPrefix(decodeUTF8(document), "\ufeff")
	if lenient {
		var err error
		if text, err = strict(text); err != nil {
			return nil, err
		}
	}
	d := jsonDecoder{json.NewDecoder(strings.NewReader(text)), lenient}
	d.UseNumber()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("unexpected text after the object")
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case []any:
		return ofPairs(v)
	case nil:
		return nil, errNull
	}
	return nil, errors.New("expected an object")
}

// ofPairs makes an object of [name, value] pairs.
func ofPairs(pairs []any) (map[string]any, error) {
	members := map[string]any{}
	for _, e := range pairs {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return nil, errors.New("expected a [name, value] pair")
		}
		name, ok := pair[0].(string)
		if _, twice := members[name]; twice || !ok {
			return nil, errors.New("expected a new name")
		}
		members[name] = pair[1]
	}
	return members, nil
}

type jsonDecoder struct {
	*json.Decoder
	lenient bool
}

// value reads a value. The depth is the number of objects and arrays around it.
func (d jsonDecoder) value(depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		return d.number(token)
	case json.Delim:
		if depth == maxDepth && !d.lenient {
			return nil, fmt.Errorf("nested more than %d levels deep", maxDepth)
		}
		if token == '[' {
			return d.array(depth + 1)
		}
		return d.object(depth + 1)
	}
	return token, nil
}

func (d jsonDecoder) array(depth int) ([]any, error) {
	elements := []any{}
	for d.More() {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, v)
	}
	_, err := d.Token()
	return elements, err
}

func (d jsonDecoder) object(depth int) (map[string]any, error) {
	members := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // the decoder accepts nothing else here
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice && depth == 1 {
			return nil, fmt.Errorf("duplicate member %q", name)
		}
		members[name] = v
	}
	_, err := d.Token()
	return members, err
}

func (d jsonDecoder) number(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if d.lenient && math.IsInf(f, 0) {
		return f, nil
	}
	return f, err
}

var (
	// lenientToken matches space or a comment, a string, a sign, or text without quotes.
	lenientToken = regexp.MustCompile(`^(?s:[ \t\r\n]+|/\*.*?\*/|(?://|#)[^\r\n]*` +
		`|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')` +
		`|(=>|[{}\[\]:,;=])` +
		`|([^/\\;#={}\[\]:, \t\f\r\n"'][^/\\;#={}\[\]:, \t\f\r\n]*))`)
	jsonNumber    = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	signs         = strings.NewReplacer(";", ",", "=>", ":", "=", ":")
	stringSpecial = regexp.MustCompile(`(?s)\\.|["\x00-\x1f]`)
)

// strict turns what Gson reads in its lenient mode into JSON. It knows comments,
// single quotes, text without quotes, ";" for ",", "=" and "=>" for ":", and
// missing elements of arrays:
//
//	{a=[b,'c',]} /* comment */    becomes    {"a":["b","c",null]}
//
// It does not look for errors, which the decoder will find.
func strict(text string) (string, error) {
	text = strings.TrimPrefix(text, ")]}'\n") // a guard against JSON as a script
	var out []byte
	var open []byte // the brackets that are open
	in := func(bracket byte) bool { return len(open) > 0 && open[len(open)-1] == bracket }
	after := func(signs string) bool { return len(out) > 0 && strings.IndexByte(signs, out[len(out)-1]) >= 0 }
	for text != "" {
		token := lenientToken.FindStringSubmatch(text)
		if token == nil {
			return "", errors.New("not even Gson reads this")
		}
		text = text[len(token[0]):]
		switch quoted, sign, unquoted := token[1], token[2], token[3]; {
		case quoted != "":
			out = append(out, ' ') // or two numbers with a space between them would become one
			out = append(out, requote(quoted[1:len(quoted)-1])...)
		case unquoted != "":
			isName := in('{') && after("{,")
			out = append(out, ' ')
			out = append(out, literal(unquoted, isName)...)
		case sign != "":
			if in('[') && (sign == "," || sign == ";" || sign == "]") && (after(",") || (sign != "]" && after("["))) {
				out = append(out, "null"...)
			}
			out = append(out, signs.Replace(sign)...)
			switch sign {
			case "{", "[":
				open = append(open, sign[0])
			case "}", "]":
				open = open[:max(0, len(open)-1)]
			}
		}
	}
	return string(out), nil
}

// requote puts the content of a string between double quotes.
func requote(content string) string {
	return `"` + stringSpecial.ReplaceAllStringFunc(content, func(s string) string {
		switch {
		case s == `\'`:
			return "'"
		case s == "\\\n":
			return `\n`
		case len(s) == 1:
			return fmt.Sprintf(`\u%04x`, s[0])
		}
		return s
	}) + `"`
}

// literal turns text without quotes into JSON. It is a keyword, a number or,
// like all names of members, a string.
func literal(text string, isName bool) string {
	switch keyword := strings.ToLower(text); {
	case isName:
	case keyword == "true" || keyword == "false" || keyword == "null":
		return keyword
	case jsonNumber.MatchString(text):
		return text
	}
	quoted, _ := json.Marshal(text) // a string
	return string(quoted)
}

// decodeUTF8 decodes UTF-8 as Java does. The beginning of a character whose end is
// missing becomes one U+FFFD, while Go makes one of each byte: "\xe2\x82x" becomes
// "\ufffdx".
func decodeUTF8(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) { // with the next byte, it could still become a character
				n++
			}
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}
