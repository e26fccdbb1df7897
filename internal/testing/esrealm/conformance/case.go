package conformance

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Case is a request with the answer of every node.
type Case struct {
	// Name says what is special about the request.
	Name string
	// Token replaces {{token}} in the request's headers.
	Token Token
	Request
	Want Want
	// Loose means that the reason of an error differs between nodes.
	Loose bool
	// Want8 is the answer of Elasticsearch 8, if that is another one.
	Want8 *Want
}

// Request is what a case sends.
type Request struct {
	// Method and Path default to GET and /_security/_authenticate.
	Method, Path string
	// Headers are sent in their order and spelling. If Authorization is not among
	// them, "Authorization: Bearer {{token}}" is sent first.
	Headers []string
	// Anonymous means that no Authorization header is added.
	Anonymous bool
	// PadTo adds a header, so that all header lines without their ends have this
	// many bytes together.
	PadTo int
	// PadLineTo makes the path longer, so that the request line has this many bytes.
	PadLineTo int
	Body      string
	// Raw means that no Content-Length is added.
	Raw bool
}

// Want has the important parts of an answer. The integration suite compares whole
// answers.
type Want struct {
	Status int
	// Username and the other properties of the user. Empty ones are not compared.
	Username string
	Roles    []string
	FullName string
	Email    string
	// Metadata are members of the user's metadata. A member that is nil here must be
	// absent.
	Metadata map[string]any
	// Realm is the realm that authenticated the user.
	Realm string
	// Reason is a part of the error's reason.
	Reason string
	// Hangs means that there is no answer.
	Hangs bool
}

// wantOn returns the answer of a version.
func (c *Case) wantOn(version string) Want {
	if c.Want8 != nil && strings.HasPrefix(version, "8.") {
		return *c.Want8
	}
	return c.Want
}

// lines returns the lines of the request, without Content-Length.
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
	// Header has the headers that depend on the answer.
	Header map[string][]string
	// Body is the JSON of the body without the members that differ between nodes.
	Body any
}

// volatile are the members of an answer that differ between nodes.
var volatile = []string{
	"took", "index_uuid", "uuid", "max_score", "_score", "_shards", "_seq_no", "_primary_term", "forced_refresh",
	"line", "col", "caused_by", "shard_id",
}

// indexID matches the id of an index in an error.
var indexID = regexp.MustCompile(`/[A-Za-z0-9_-]{20,22}\]`)

// normalize removes the volatile members, and sorts lists whose order does not
// matter.
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
		for _, name := range []string{"roles", "WWW-Authenticate"} {
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
