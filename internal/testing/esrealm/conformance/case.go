package conformance

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Case is a request, and the answer that every node gives.
type Case struct {
	// Name is a statement about the answer.
	Name string
	// Token is put where the request's headers say {{token}}.
	Token Token
	Request
	Want Want
	// Loose says that an error's reason is in words that only a real node has.
	Loose bool
	// Want8 is the answer of Elasticsearch 8 where it is another.
	Want8 *Want
}

// Request is what a case sends.
type Request struct {
	// Method and Path default to GET and /_security/_authenticate.
	Method, Path string
	// Headers are sent as they are, in their order and spelling. The default is
	// Authorization: Bearer {{token}}, and where Headers do not name that
	// header it is sent before them.
	Headers []string
	// Anonymous leaves the default out.
	Anonymous bool
	// PadTo adds a header, so that all header lines together, without their
	// ends, have this many bytes.
	PadTo int
	// PadLineTo does the same to the request line.
	PadLineTo int
	Body      string
	// Raw sends the body as it is, without a Content-Length.
	Raw bool
}

// Want is what is certain about an answer. The integration suite compares all
// of it with a real node's.
type Want struct {
	Status int
	// Username, and the other properties of a user where they are not empty.
	Username string
	Roles    []string
	FullName string
	Email    string
	// Metadata are members that the metadata must have; a nil one must not be
	// there.
	Metadata map[string]any
	// Realm authenticated the user.
	Realm string
	// Reason is a part of an error's reason.
	Reason string
	// Hangs says that there is no answer.
	Hangs bool
}

// wantOn is what a version must answer.
func (c *Case) wantOn(version string) Want {
	if c.Want8 != nil && strings.HasPrefix(version, "8.") {
		return *c.Want8
	}
	return c.Want
}

// Lines are the request's lines, without the one for the body's length.
func (c *Case) lines(host string, now time.Time) []string {
	method, path := c.Method, c.Path
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/_security/_authenticate"
	}
	headers := c.Headers
	named := slices.ContainsFunc(headers,
		func(h string) bool { return strings.HasPrefix(strings.ToLower(h), "authorization:") })
	if !c.Anonymous && !named {
		headers = append([]string{"Authorization: Bearer {{token}}"}, headers...)
	}
	lines := []string{method + " " + path + " HTTP/1.1", "Host: " + host}
	token := ""
	if c.Token.Realm != "" {
		token = c.Token.Text(now)
	}
	for _, h := range headers {
		lines = append(lines, strings.ReplaceAll(h, "{{token}}", token))
	}
	if n := c.PadLineTo - len(lines[0]); n > 0 {
		lines[0] = method + " " + path + strings.Repeat("x", n) + " HTTP/1.1"
	}
	if c.PadTo > 0 {
		const name = "X-Padding: "
		lines = append(lines, name+strings.Repeat("x", c.PadTo-len(strings.Join(lines[1:], ""))-len(name)))
	}
	return lines
}

// Answer is a node's answer.
type Answer struct {
	Status int
	// Header are the headers that say something about the verdict.
	Header map[string][]string
	// Body is the JSON of the body, without what differs from node to node.
	Body any
}

// volatile are the members of an answer that differ from node to node.
var volatile = []string{
	"took", "index_uuid", "uuid", "max_score", "_score", "_shards", "_seq_no", "_primary_term", "forced_refresh",
	"line", "col", "caused_by", "shard_id",
}

// indexID is the id of an index in the text of an error.
var indexID = regexp.MustCompile(`/[A-Za-z0-9_-]{20,22}\]`)

// normalize removes the volatile members and sorts what has no order.
func normalize(v any, loose bool) any {
	switch v := v.(type) {
	case string:
		return indexID.ReplaceAllString(v, "]")
	case map[string]any:
		for _, name := range volatile {
			delete(v, name)
		}
		if loose {
			delete(v, "reason")
			delete(v, "additional_unsuccessful_credentials")
		}
		for name, e := range v {
			v[name] = normalize(e, loose)
		}
		for _, name := range []string{"roles", "WWW-Authenticate"} { // have no order
			if list, ok := v[name].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(toText(a), toText(b)) })
			}
		}
	case []any:
		for i, e := range v {
			v[i] = normalize(e, loose)
		}
	}
	return v
}

func toText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
