// Package strictjson decodes JSON that must say exactly one thing.
//
// The standard library ignores a member that it has no field for, and lets the last of two members with one name
// win. What decides about a key must not be read so:
//
//	{"kid": "a", "nwo": true}    somebody who wrote this meant "now"
//	{"kid": "a", "kid": "b"}     and nobody knows which key this revokes
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Unmarshal is like [json.Unmarshal], and returns an error if an object has a member that the value has no field
// for, or two members of one name. As in encoding/json, upper and lower case are the same in a name: "kid" and "KID"
// are one, also in a map. After an error the value may be filled in part.
func Unmarshal(data []byte, value any) error {
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return err // it is not JSON, or there is more after it, which a Decoder would not read
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(value)
}

// checkNames reads one value, and checks that no object in it has two members of one name.
func checkNames(dec *json.Decoder) error {
	token, err := dec.Token()
	begin, composed := token.(json.Delim)
	if err != nil || !composed {
		return err
	}
	seen := make(map[string]bool)
	for dec.More() {
		if begin == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			text := name.(string) // a Decoder returns nothing else here
			folded := strings.Map(fold, text)
			if seen[folded] {
				return fmt.Errorf("it has the member %q twice", text)
			}
			seen[folded] = true
		}
		if err := checkNames(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the end of the object or array
	return err
}

// fold returns the same letter for all that encoding/json takes for one another in a name: k, K and the Kelvin sign.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
