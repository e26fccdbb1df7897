package esrealm

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDoublesAsJavaWritesThem(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 1: "1.0", 1.5: "1.5", -2.25: "-2.25", 100: "100.0", 9999999: "9999999.0",
		1e7: "1.0E7", 1.25e21: "1.25E21", 0.001: "0.001", 0.0001: "1.0E-4", -1e-7: "-1.0E-7",
		12345678901234567890: "1.2345678901234567E19", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity",
	} {
		require.Equal(t, want, javaDouble(f))
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{"none":[]}`, `{"any":{}}`, `{"field":1}`, `{"field":{"a":"/[/"}}`, `{"all":[{"except":[]}]}`,
	} {
		_, err := parseRule([]byte(text))
		require.Error(t, err, text)
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		`[]`, `{}`, `{"a":1,"b":2}`, `{"fuzzy":{}}`, `{"match":{}}`, `{"term":1}`, `{"exists":1}`,
		`{"ids":{"values":1}}`, `{"bool":{"must":[{"x":1}]}}`, `{"bool":1}`,
	} {
		_, err := parseQuery([]byte(text))
		require.NotNil(t, err, text)
		require.Equal(t, 400, err.status)
	}
}

func TestQueries(t *testing.T) {
	d := &document{id: "1", fields: map[string]any{"color": "Dark Blue", "n": 2.0, "null": nil}}
	for text, want := range map[string]bool{
		`{"match":{"color":"blue"}}`:                                        true,
		`{"match":{"color":{"query":"green DARK"}}}`:                        true,
		`{"match":{"color.keyword":"blue"}}`:                                false,
		`{"term":{"color":"Dark"}}`:                                         false,
		`{"term":{"color.keyword":"Dark Blue"}}`:                            true,
		`{"term":{"n":2}}`:                                                  true,
		`{"terms":{"n":[3,4]}}`:                                             false,
		`{"exists":{"field":"null"}}`:                                       false,
		`{"ids":{"values":["1","2"]}}`:                                      true,
		`{"bool":{"filter":{"match_all":{}},"should":[{"match_none":{}}]}}`: true,
		`{"bool":{"should":[{"match_none":{}}]}}`:                           false,
		`{"bool":{"must_not":{"match_all":{}}}}`:                            false,
	} {
		q, err := parseQuery([]byte(text))
		require.Nil(t, err)
		require.Equal(t, want, q(d), text)
	}
}

func TestBlankAsJavaSeesIt(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, " \t\n\x1c": true, "\u2003": true,
		"\u00a0": false, "\u2007": false, "\x00": false, "x": false,
	} {
		require.Equal(t, want, isBlank(s), "%q", s)
	}
}
