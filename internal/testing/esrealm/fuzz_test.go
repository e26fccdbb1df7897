package esrealm

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"", "AAAA", "A", "AA==", "-_+/", "A!B~C"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := decodeBase64(s)
		if want, err := base64.RawURLEncoding.DecodeString(s); err == nil && !strings.ContainsAny(s, "\r\n") {
			require.Equal(t, want, got)
		}
		require.Equal(t, got, decodeBase64(base64.RawURLEncoding.EncodeToString(got)))
	})
}

func FuzzParseToken(f *testing.F) {
	b64 := base64.RawURLEncoding.EncodeToString
	for header, claims := range map[string]string{
		`{"alg":"RS256","kid":"k","crit":["b64"],"b64":false}`: `{"iss":"i","sub":5,"aud":["a",null],"exp":1.5}`,
		`{"alg":"ES256","jwk":{"kty":"EC"},"x5c":["AA"]}`:      `{"nbf":1e300,"iat":null,"roles":["x"]}`,
		`[["alg","HS256"]]`: `{x:1}`,
	} {
		f.Add(b64([]byte(header)) + "." + b64([]byte(claims)) + ".AAAA")
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, lenient := range []bool{false, true} {
			tok, err := parseToken(s, lenient)
			if err != nil {
				continue
			}
			require.NotEmpty(t, tok.principal)
			require.NotEqual(t, "none", tok.header.alg)
			tok.claims.metadata()
			_, _, _ = tok.claims.time("exp")
			_, _, _ = tok.claims.list("aud")
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	for _, key := range []string{
		`{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig","key_ops":["verify"]}`, `{"kty":"oct","k":"AA"}`,
		`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, `{"kty":"OKP","crv":"X25519","x":"AA","x5c":["AA"]}`,
	} {
		f.Add([]byte(`{"keys":[` + key + `]}`))
	}
	f.Add([]byte("\ufeff "))
	f.Fuzz(func(t *testing.T, document []byte) {
		set, err := parseKeySet(document, pkcAlgorithms, false)
		if err != nil {
			return
		}
		for _, k := range set.keys {
			require.NotNil(t, k.key)
			k.verify(&token{header: header{alg: "RS256"}, signature: []byte{1}})
		}
	})
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{
		`{"field":{"groups":["a","b*",null,1,true]}}`,
		`{"all":[{"any":[{"field":{"dn":"*,OU=x"}}]},{"except":{"field":{"metadata.x":"/a.*/"}}}]}`,
	} {
		f.Add([]byte(s), "CN=a,OU=x")
	}
	f.Fuzz(func(_ *testing.T, text []byte, value string) {
		if len(text) > 200 || len(value) > 40 {
			return
		}
		r, err := parseRule(text)
		if err != nil {
			return
		}
		r.match(&userData{username: value, dn: &value, groups: []string{value}, metadata: map[string]any{"x": value}})
	})
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		`{"match":{"a":"b"}}`, `{"bool":{"must":[{"term":{"a":{"value":1}}}],"should":{"exists":{"field":"a"}}}}`,
		`{"terms":{"a":[1]}}`, `{"ids":{"values":["1"]}}`,
	} {
		f.Add([]byte(s))
	}
	d := &document{id: "1", fields: map[string]any{"a": "b"}}
	f.Fuzz(func(_ *testing.T, text []byte) {
		if q, err := parseQuery(text); err == nil {
			q(d)
		}
	})
}

func FuzzParseBulk(f *testing.F) {
	f.Add([]byte("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n{\"delete\":{\"_id\":\"1\"}}\n"), "b")
	f.Fuzz(func(t *testing.T, body []byte, index string) {
		if len(body) == 0 {
			return
		}
		items, err := parseBulk(body, index)
		if err != nil {
			return
		}
		for _, item := range items {
			require.NotEmpty(t, item.index)
			require.Contains(t, []string{opIndex, opCreate, opDelete}, item.op)
		}
	})
}

func FuzzCompileJava(f *testing.F) {
	for _, s := range []string{"^(.*)$", "a$|b", `[$.]\$`, "(?m)^x$", "(?s)."} {
		f.Add(s, "text\n")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 60 {
			return
		}
		re, err := compileJava(expr)
		want, werr := regexp.Compile(expr)
		if err != nil || werr != nil {
			return
		}
		if !strings.ContainsAny(expr, "$.") {
			require.Equal(t, want.FindStringIndex(text), re.FindStringIndex(text))
		}
	})
}
