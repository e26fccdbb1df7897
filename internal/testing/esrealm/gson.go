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

// maxDepth is how deeply objects and arrays may be nested where JSON is read
// strictly.
const maxDepth = 255

// errNull is returned for the document null.
var errNull = errors.New("the document is null")

// parseObject reads a JSON object as Elasticsearch's JWT library does, which
// leaves JOSE headers, claims sets and JWK sets to Gson. Values are nil, bool,
// string, int64, float64, []any and map[string]any.
//
// It differs from encoding/json where a verdict depends on it: a member of the
// outermost object must not come twice, while of a nested one the last counts;
// integers keep all 64 bits; and [["a",1]] is another spelling of {"a":1}.
//
// Elasticsearch 9 reads strictly. The library in 8.x is lenient: see [strict].
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

// ofPairs is the object that an array of [name, value] pairs stands for.
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

// value reads a value that is inside so many objects and arrays.
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
		name, _ := token.(string) // of an object, the decoder takes nothing else
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
	// lenientToken is what Gson reads at once: nothing, a string, a sign, or text without quotes.
	lenientToken = regexp.MustCompile(`^(?s:[ \t\r\n]+|/\*.*?\*/|(?://|#)[^\r\n]*` +
		`|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')` +
		`|(=>|[{}\[\]:,;=])` +
		`|([^/\\;#={}\[\]:, \t\f\r\n"'][^/\\;#={}\[\]:, \t\f\r\n]*))`)
	jsonNumber    = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	signs         = strings.NewReplacer(";", ",", "=>", ":", "=", ":")
	stringSpecial = regexp.MustCompile(`(?s)\\.|["\x00-\x1f]`)
)

// strict rewrites what Gson takes in its lenient mode as JSON: comments, single
// quotes, text without quotes, ";" for ",", "=" and "=>" for ":", empty slots in
// arrays. So {a=[b,'c',]} /**/ becomes {"a":["b","c",null]}. What is wrong for
// Gson too is left for the decoder to find.
func strict(text string) (string, error) {
	text = strings.TrimPrefix(text, ")]}'\n") // keeps JSON from being run as a script
	var out, open []byte                      // open are the brackets around what comes next
	in := func(bracket byte) bool { return len(open) > 0 && open[len(open)-1] == bracket }
	after := func(signs string) bool { return len(out) > 0 && strings.IndexByte(signs, out[len(out)-1]) >= 0 }
	for text != "" {
		token := lenientToken.FindStringSubmatch(text)
		if token == nil {
			return "", errors.New("neither JSON nor what Gson takes for it")
		}
		text = text[len(token[0]):]
		switch quoted, sign, unquoted := token[1], token[2], token[3]; {
		case quoted != "":
			out = append(out, ' ') // between two values that have no sign between them
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

// requote writes what was between quotes of either kind between double ones.
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

// literal writes a text without quotes: a keyword or a number as it is, and
// anything else, or a member's name, as a string.
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

// decodeUTF8 turns bytes into text as Java's decoder does: each maximal
// malformed subpart becomes one U+FFFD (Unicode 3.9, "substitution of maximal
// subparts"), where Go would write one for each byte. So "\xe2\x82x" is "\ufffdx".
func decodeUTF8(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) { // nor is it malformed yet
				n++
			}
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}
