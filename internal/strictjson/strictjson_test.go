package strictjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/strictjson"
)

type document struct {
	Name string         `json:"name"`
	Turn int            `json:"turn"`
	Sub  *document      `json:"sub"`
	List []document     `json:"list"`
	Map  map[string]int `json:"map"`
	Any  any            `json:"any"`
}

func TestWhatIsReadIsWhatTheStandardLibraryReads(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`null`,
		` {"name": "a", "turn": 1} ` + "\n",
		`{"name": "a", "sub": {"name": "b"}, "list": [{"name": "c"}, {"name": "d"}]}`,
		`{"map": {"a": 1, "b": 2}, "any": [1, {"x": {}, "y": []}, "name", "name"]}`,
	} {
		var strict, lenient document
		require.NoError(t, strictjson.Unmarshal([]byte(text), &strict), text)
		require.NoError(t, json.Unmarshal([]byte(text), &lenient))
		require.Equal(t, lenient, strict)
	}
}

func TestWhatCouldMeanTwoThingsIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		``:                                     "unexpected end of JSON input",
		`{"name": "a"`:                         "unexpected end of JSON input",
		`{"name": "a"} {}`:                     "after top-level value",
		`{"name": "a"}]`:                       "after top-level value",
		`{"name": 1}`:                          "cannot unmarshal number",
		`{"lost": "a"}`:                        `unknown field "lost"`,
		`{"sub": {"lost": "a"}}`:               `unknown field "lost"`,
		`{"list": [{}, {"lost": "a"}]}`:        `unknown field "lost"`,
		`{"name": "a", "name": "a"}`:           `it has the member "name" twice`,
		`{"name": "a", "\u006eame": "a"}`:      `it has the member "name" twice`,
		`{"name": "a", "NAME": "b"}`:           `it has the member "NAME" twice`,
		"{\"k\": 1, \"\u212a\": 2}":            "it has the member \"\u212a\" twice", // the Kelvin sign
		`{"sub": {"turn": 1, "turn": 2}}`:      `it has the member "turn" twice`,
		`{"list": [{"turn": 1, "turn": 2}]}`:   `it has the member "turn" twice`,
		`{"map": {"a": 1, "b": 2, "a": 3}}`:    `it has the member "a" twice`,
		`{"any": {"x": {"y": 1, "y": [{}]}}}`:  `it has the member "y" twice`,
		strings.Repeat(`{"sub":`, 20000) + `1`: "exceeded max depth",
	} {
		require.ErrorContains(t, strictjson.Unmarshal([]byte(text), new(document)), says, "%.80s", text)
	}
}

// FuzzUnmarshal: whatever is read, the standard library reads the same, and says all of it that there is: with
// more behind it, or with a member twice, it is refused.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{
		`{"name": "a", "turn": 1, "sub": {"name": "b"}, "list": [{"any": [1, "x", null, {"y": 1.5e3}]}], "map": {"a": 1}}`,
		`{"name": "a", "name": "b"}`, `{"map": {"a": 1, "a": 1}}`, `{"lost": 1}`, `{} {}`, `[]`, `null`, ``, `{"any": "\ud800"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var strict, lenient document
		if strictjson.Unmarshal(text, &strict) != nil {
			return
		}
		require.NoError(t, json.Unmarshal(text, &lenient))
		require.Equal(t, lenient, strict)
		require.Error(t, strictjson.Unmarshal(append(bytes.Clone(text), "{}"...), new(document)))
		if object, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte("{")); ok {
			rest := bytes.TrimSuffix(object, []byte("}"))
			comma := ","
			if len(bytes.TrimSpace(rest)) == 0 {
				comma = ""
			}
			for _, more := range []string{`"lost": 1`, `"turn": 1, "turn": 1`} {
				require.Error(t, strictjson.Unmarshal([]byte("{"+string(rest)+comma+more+"}"), new(document)), more)
			}
		}
	})
}
