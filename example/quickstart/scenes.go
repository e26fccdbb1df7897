package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// scene is a request with the expected answer.
type scene struct {
	title  string
	who    string // whose certificate; "" for none
	path   string
	header http.Header

	status int
	shows  func(body []byte) string // returns one line about the answer
	expect string                   // that line
}

const authenticate = "/_security/_authenticate"

// scenes returns the requests of the quickstart. The administrator's password in them is the right one, so
// that it would work if Caddy let it through.
func scenes(n *node) []scene {
	basic := new(http.Request)
	basic.Header = http.Header{}
	basic.SetBasicAuth(n.user, n.password)
	return []scene{
		{
			title: "alice shows her certificate (CN=alice, O=analysts) and nothing else",
			who:   "alice", path: authenticate,
			status: 200, shows: user, expect: "user alice, roles sales_reader, realm jwt1",
		},
		{
			title: "bob shows his (CN=bob, O=operators)",
			who:   "bob", path: authenticate,
			status: 200, shows: user, expect: "user bob, roles cluster_watcher, realm jwt1",
		},
		{
			title: "alice's role lets her search",
			who:   "alice", path: "/sales/_search",
			status: 200, shows: hits, expect: "2 documents",
		},
		{
			title: "bob's does not",
			who:   "bob", path: "/sales/_search",
			status: 403, shows: errorType, expect: "security_exception",
		},
		{
			title: "somebody without a certificate does not reach Elasticsearch",
			path:  authenticate, status: 401, shows: reason, expect: "no_certificate",
		},
		{
			title: "nor with the administrator's password",
			path:  authenticate, header: basic.Header, status: 401, shows: reason, expect: "no_certificate",
		},
		{
			title: "nor does mallory, whose certificate says CN=bob as well, but is of another authority",
			who:   "mallory", path: authenticate, status: 401, shows: reason, expect: "unverified",
		},
		{
			title: "alice says that she is the administrator, with the right password",
			who:   "alice", path: authenticate, header: basic.Header,
			status: 200, shows: user, expect: "user alice, roles sales_reader, realm jwt1",
		},
		{
			title: "alice asks to run as the administrator",
			who:   "alice", path: authenticate, header: http.Header{"Es-Security-Runas-User": {n.user}},
			status: 200, shows: user, expect: "user alice, roles sales_reader, realm jwt1",
		},
	}
}

// play sends the requests of the scenes and prints the answers. It returns how many answers were not as
// expected.
func play(ctx context.Context, out io.Writer, site *proxy, all []scene) (failures int) {
	for _, s := range all {
		fmt.Fprintf(out, "\n%s\n  GET %s\n", s.title, s.path)
		for name := range s.header {
			fmt.Fprintf(out, "  %s: %s\n", name, abbreviate(s.header.Get(name)))
		}
		status, shown, err := s.send(ctx, site)
		switch {
		case err != nil:
			failures++
			fmt.Fprintf(out, "  FAILED: %v\n", err)
		case status != s.status || shown != s.expect:
			failures++
			fmt.Fprintf(out, "  FAILED: %d %s\n  instead of: %d %s\n", status, shown, s.status, s.expect)
		default:
			fmt.Fprintf(out, "  -> %s\n", strings.TrimSpace(fmt.Sprintf("%d %s", status, shown)))
		}
	}
	return failures
}

func (s scene) send(ctx context.Context, site *proxy) (status int, shown string, err error) {
	c := newClient(site, nil)
	if s.who != "" {
		if c, err = holder(site, s.who); err != nil {
			return 0, "", err
		}
	}
	status, body, err := c.get(ctx, s.path, s.header)
	switch {
	case err != nil:
		return 0, "", err
	case status != s.status:
		return status, string(body), nil
	case s.shows != nil:
		shown = s.shows(body)
	}
	return status, shown, nil
}

// user returns a line about an answer of _security/_authenticate.
func user(body []byte) string {
	var u struct {
		Username string
		Roles    []string
		Realm    struct{ Name string } `json:"authentication_realm"`
	}
	if err := json.Unmarshal(body, &u); err != nil {
		return string(body)
	}
	return fmt.Sprintf("user %s, roles %s, realm %s", u.Username, strings.Join(u.Roles, ", "), u.Realm.Name)
}

// hits returns a line about an answer of _search.
func hits(body []byte) string {
	var a struct {
		Hits struct{ Hits []any }
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return string(body)
	}
	return fmt.Sprintf("%d documents", len(a.Hits.Hits))
}

// errorType returns the type of an error of Elasticsearch.
func errorType(body []byte) string {
	var a struct{ Error struct{ Type string } }
	if err := json.Unmarshal(body, &a); err != nil {
		return string(body)
	}
	return a.Error.Type
}

// reason returns the first word of a refusal of Caddy's.
func reason(body []byte) string {
	var a struct{ Error struct{ Reason string } }
	if err := json.Unmarshal(body, &a); err != nil {
		return string(body)
	}
	word, _, _ := strings.Cut(a.Error.Reason, ":")
	return word
}

func abbreviate(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}
