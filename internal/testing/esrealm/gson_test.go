package esrealm

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBothModesRead(t *testing.T) {
	for text, want := range map[string]map[string]any{
		`{}`:                             {},
		" \n\t{ } \r\n":                  {},
		"\ufeff{}":                       {},
		`{"a":null,"b":true}`:            {"a": nil, "b": true},
		`{"":1}`:                         {"": int64(1)},
		`{"a":9223372036854775807}`:      {"a": int64(math.MaxInt64)},
		`{"a":9223372036854775808}`:      {"a": float64(1 << 63)},
		`{"a":-0}`:                       {"a": int64(0)},
		`{"a":1.0}`:                      {"a": 1.0},
		`{"a":1e2}`:                      {"a": 100.0},
		`{"a":[1,"x",[]]}`:               {"a": []any{int64(1), "x", []any{}}},
		`{"a":{"b":1,"b":2}}`:            {"a": map[string]any{"b": int64(2)}},
		`{"a":"\t\b\n\r\f\"\\\/\u0041"}`: {"a": "\t\b\n\r\f\"\\/A"},
		`{"a":"\ud83d\ude00\ud800x"}`:    {"a": "😀\ufffdx"},
		`[["a",1],["b",[2]]]`:            {"a": int64(1), "b": []any{int64(2)}},
		`[]`:                             {},
	} {
		for _, lenient := range []bool{false, true} {
			got, err := parseObject([]byte(text), lenient)
			require.NoError(t, err, text)
			require.Equal(t, want, got, text)
		}
	}
}

func TestBothModesRefuse(t *testing.T) {
	for _, text := range []string{
		``, ` `, `null`, `1`, `"x"`, `true`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`,
		`{"a":1}x`, `{}{}`, `{"a":1,"a":1}`, `{"a":"\q"}`, `{"a":"\u12g4"}`, `{"a":"\u+123"}`, `{"a":"\u12`,
		`{"a" "b"}`, `{"a":1 "b":2}`, `{"a":[1 2]}`, `{"a":]}`, `["a"]`, `[["a"]]`,
		`[["a",1,2]]`, `[["a",1],["a",1]]`, `[[{},1]]`, `{"a":"x`,
	} {
		for _, lenient := range []bool{false, true} {
			_, err := parseObject([]byte(text), lenient)
			require.Error(t, err, text)
		}
	}
	_, err := parseObject([]byte("null"), false)
	require.ErrorIs(t, err, errNull)
}

// What only the lenient mode takes, as Elasticsearch 8.17.0 was seen to do.
func TestOnlyLenientReads(t *testing.T) {
	for text, want := range map[string]map[string]any{
		`{x:1}`:                    {"x": int64(1)},
		`{null:1,1:2}`:             {"null": int64(1), "1": int64(2)},
		`{'x':'y"'}`:               {"x": `y"`},
		`{/*c*/"x":1}`:             {"x": int64(1)},
		"{\"x\":1//c\n}":           {"x": int64(1)},
		"{\"x\":1#c\n}":            {"x": int64(1)},
		`{"x":1}//c`:               {"x": int64(1)},
		`{"x":1;"y"=2;"z"=>3}`:     {"x": int64(1), "y": int64(2), "z": int64(3)},
		`{"x":foo}`:                {"x": "foo"},
		`{"x":[1,,2]}`:             {"x": []any{int64(1), nil, int64(2)}},
		`{"x":[,]}`:                {"x": []any{nil, nil}},
		`{"x":[1,]}`:               {"x": []any{int64(1), nil}},
		`{"x":NaN,"y":01,"z":+1}`:  {"x": "NaN", "y": "01", "z": "+1"},
		`{"x":TRUE,"y":Null}`:      {"x": true, "y": nil},
		`{"x":1e400}`:              {"x": math.Inf(1)},
		")]}'\n{}":                 {},
		"{\"x\":\"a\tb\\'\\\nc\"}": {"x": "a\tb'\nc"},
	} {
		got, err := parseObject([]byte(text), true)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		_, err = parseObject([]byte(text), false)
		require.Error(t, err, text)
	}
}

func TestNestingIsLimitedInStrictMode(t *testing.T) {
	nested := func(n int) []byte { return []byte(`{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}") }
	_, err := parseObject(nested(maxDepth-1), false)
	require.NoError(t, err)
	_, err = parseObject(nested(maxDepth), false)
	require.Error(t, err)
	_, err = parseObject(nested(5000), true)
	require.NoError(t, err)
}

func TestDecodeUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"abc é 😀":          "abc é 😀",
		"\xff\xfe":         "\ufffd\ufffd",
		"\xc0\x80":         "\ufffd\ufffd",
		"\xe2\x82":         "\ufffd",
		"\xe2\x82x":        "\ufffdx",
		"\xf0\x9f\x98":     "\ufffd",
		"\xed\xa0\x80":     "\ufffd\ufffd\ufffd",
		"\xf5\x80\x80\x80": "\ufffd\ufffd\ufffd\ufffd",
		"\xe0\x80\x80":     "\ufffd\ufffd\ufffd",
		"a\xc3(":           "a\ufffd(",
	} {
		require.Equal(t, want, decodeUTF8([]byte(in)), "%q", in)
	}
}

func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\u0041"}],"c":null}`, `{x:1;'y'=>[,]}//`, `[["a",1]]`, `{"a":1e5}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		strict, err := parseObject([]byte(text), false)
		lenient, lerr := parseObject([]byte(text), true)
		if err == nil {
			require.NoError(t, lerr, "lenient takes whatever strict takes")
			require.Equal(t, strict, lenient)
			if strings.HasPrefix(strings.TrimSpace(text), "{") {
				require.True(t, json.Valid([]byte(text)), "strict takes only JSON")
			}
		}
	})
}

func FuzzDecodeUTF8(f *testing.F) {
	f.Add([]byte("\xe2\x82\xf0x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		require.LessOrEqual(t, len(decodeUTF8(b)), 3*len(b))
		require.Equal(t, decodeUTF8(b), decodeUTF8([]byte(decodeUTF8(b))))
	})
}
