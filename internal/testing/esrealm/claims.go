package esrealm

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claimsSet is a JWT claims set (RFC 7519 section 4). The values are those of
// parseObject, but exp, nbf and iat are a date and aud is a list.
type claimsSet map[string]any

// date is a NumericDate, in seconds since 1970.
type date int64

// parseClaims reads a payload. It refuses registered claims of a wrong type.
// Like real nodes, it accepts a number as sub, which becomes text, and a number
// with a fraction as a date.
func parseClaims(payload []byte, lenient bool) (claimsSet, error) {
	m, err := parseObject(payload, lenient)
	if err != nil {
		return nil, err
	}
	c := claimsSet(m)
	for name, v := range c {
		switch name {
		case "iss", "jti":
			if _, err := object(m).string(name); err != nil {
				return nil, err
			}
		case "sub":
			if c[name], err = subject(v); err != nil {
				return nil, err
			}
		case "aud":
			if c[name], err = audience(v); err != nil {
				return nil, err
			}
		case "exp", "nbf", "iat":
			if v == nil && !lenient { // the library in 8.x does not accept null
				continue
			}
			seconds, ok := seconds(v)
			if !ok {
				return nil, fmt.Errorf("%s is no number", name)
			}
			c[name] = date(seconds)
		}
	}
	return c, nil
}

func subject(v any) (any, error) {
	switch v := v.(type) {
	case nil, string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return javaDouble(v), nil
	}
	return nil, errors.New("sub is neither a string nor a number")
}

func audience(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []any{v}, nil
	case []any:
		for _, e := range v {
			if _, ok := e.(string); !ok && e != nil {
				return nil, errors.New("aud holds something else than strings")
			}
		}
		return v, nil
	}
	return nil, errors.New("aud is neither a string nor an array")
}

// seconds converts a number as Java's Number.longValue does.
func seconds(v any) (int64, bool) {
	switch v := v.(type) {
	case date:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		switch {
		case v >= math.MaxInt64:
			return math.MaxInt64, true
		case v <= math.MinInt64:
			return math.MinInt64, true
		}
		return int64(v), true
	}
	return 0, false
}

// time returns a claim that is a date or absent. Java counts in milliseconds, so
// a very large number of seconds overflows.
func (c claimsSet) time(name string) (t time.Time, ok bool, err error) {
	if c[name] == nil {
		return t, false, nil
	}
	s, ok := seconds(c[name])
	if !ok {
		return t, false, fmt.Errorf("cannot parse date claim [%s]", name)
	}
	return time.UnixMilli(s * 1000), true, nil
}

// string returns a claim that is a string or absent.
func (c claimsSet) string(name string) (string, bool, error) {
	switch v := c[name].(type) {
	case nil:
		return "", false, nil
	case string:
		return v, true, nil
	}
	return "", false, fmt.Errorf("cannot parse string claim [%s] as string", name)
}

// list returns a claim that is a string, an array of strings or absent. It
// leaves out a null in the array, which is equal to no value.
func (c claimsSet) list(name string) (values []string, ok bool, err error) {
	switch v := c[name].(type) {
	case nil:
		return nil, false, nil
	case string:
		return []string{v}, true, nil
	case []any:
		for _, e := range v {
			switch e := e.(type) {
			case nil:
			case string:
				values = append(values, e)
			default:
				return nil, false, fmt.Errorf("cannot parse string claim [%s] as string array", name)
			}
		}
		return values, true, nil
	}
	return nil, false, fmt.Errorf("cannot parse string claim [%s] as string array", name)
}

// principal is the name for the token in errors. It consists of all claims that
// are text: 'iss:https://issuer.example.com' 'sub:alice'.
func (c claimsSet) principal() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		switch v := c[name].(type) {
		case string:
			parts = append(parts, "'"+name+":"+v+"'")
		case []any:
			values := make([]string, 0, len(v))
			for _, e := range v {
				if s, ok := e.(string); ok {
					values = append(values, s)
				}
			}
			if len(v) > 0 && len(values) == len(v) {
				parts = append(parts, "'"+name+":"+strings.Join(values, ",")+"'")
			}
		}
	}
	if len(parts) == 0 {
		return "<unrecognized JWT token>"
	}
	return strings.Join(parts, " ")
}

// metadata returns the claims that become a user's metadata: scalars and lists
// of scalars, but not the dates.
func (c claimsSet) metadata() map[string]any {
	m := map[string]any{}
	for name, v := range c {
		list, isList := v.([]any)
		if isScalar(v) || (isList && !slices.ContainsFunc(list, func(e any) bool { return !isScalar(e) })) {
			m["jwt_claim_"+name] = finite(v)
		}
	}
	return m
}

// finite turns infinite numbers, which JSON does not have, into text.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) {
			return javaDouble(v)
		}
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = finite(e)
		}
		return list
	}
	return v
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, bool, int64, float64:
		return true
	}
	return false
}

// javaDouble formats a number as Java's Double.toString does.
func javaDouble(f float64) string {
	switch a := math.Abs(f); {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case a == 0 || (a >= 1e-3 && a < 1e7):
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	default:
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent)
		return mantissa + "E" + strconv.Itoa(n)
	}
}
