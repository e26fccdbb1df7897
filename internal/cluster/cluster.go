// Package cluster asks the nodes of a cluster something on the proxy's own behalf, over the connections that the
// requests of clients go.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 16 << 20

// Node is one node, and the way to it.
type Node struct {
	URL string // its scheme, host and port

	over http.RoundTripper
}

// NewNode returns a node that is asked over a transport.
func NewNode(base string, over http.RoundTripper) Node { return Node{base, over} }

// At returns the node of another address, which is asked over the same transport.
func (n Node) At(base string) Node { return Node{base, n.over} }

// Cluster is the nodes of a cluster. Any of them may be asked.
type Cluster struct {
	nodes []Node
	turn  atomic.Uint32
}

// New returns the cluster of some nodes, of which there must be one.
func New(nodes ...Node) *Cluster { return &Cluster{nodes: nodes} }

// Nodes returns the nodes.
func (c *Cluster) Nodes() []Node { return slices.Clone(c.nodes) }

// Question is a request to a node.
type Question struct {
	Method string
	Path   string // with its query
	Header http.Header
	Body   any // encoded as JSON; nil: none
}

// Answer is what a node answered, whatever its status is.
type Answer struct {
	Node   string
	Status int
	Body   []byte
}

// OK reports whether the node did what it was asked.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Decode decodes the body of the answer.
func (a *Answer) Decode(into any) error {
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("%s answered something else than the JSON of Elasticsearch: %w", a.Node, err)
	}
	return nil
}

// Err returns an error with the status, and the type and the reason that the body gives.
func (a *Answer) Err() error {
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	var failed struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(a.Body, &body)
	_ = json.Unmarshal(body.Error, &failed)
	return &StatusError{Node: a.Node, Status: a.Status, Type: shortened(failed.Type), Reason: shortened(failed.Reason)}
}

// shortened returns the beginning of a long text.
func shortened(text string) string {
	const longest = 500
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// StatusError is an answer that is no success.
type StatusError struct {
	Node         string
	Status       int
	Type, Reason string // as the body has them
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answered %d", e.Node, e.Status)
	if e.Type != "" {
		text += " " + e.Type
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Ask asks one node after another until one answers with a status that the others would give too. Nodes that are down,
// or that answer 429, 502, 503 or 504, are passed over. The error is that of the last node.
//
// A question must be one that may be asked twice: a node may have done what it was asked before the connection broke.
func (c *Cluster) Ask(ctx context.Context, q Question) (*Answer, error) {
	var last *Answer
	err := errors.New("there is no node to ask")
	first := c.turn.Add(1)
	for i := range c.nodes {
		var a *Answer
		node := c.nodes[(uint(first)+uint(i))%uint(len(c.nodes))]
		if a, err = node.askWithin(ctx, len(c.nodes)-i, q); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		switch a.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			last = a
		default:
			return a, nil
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, err
}

// askWithin asks this node, which is one of some that may have to be asked. It gets no more than its share of the time
// that is left, so that a node that hangs leaves some for the others.
func (n Node) askWithin(ctx context.Context, nodes int, q Question) (*Answer, error) {
	end, ok := ctx.Deadline()
	if !ok || nodes == 1 {
		return n.Ask(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(nodes))
	defer cancel()
	return n.Ask(ctx, q)
}

// Ask asks this node.
func (n Node) Ask(ctx context.Context, q Question) (*Answer, error) {
	var body io.Reader
	if q.Body != nil {
		encoded, err := json.Marshal(q.Body)
		if err != nil {
			return nil, fmt.Errorf("encoding the body: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, q.Method, n.URL+q.Path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, q.Header)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := n.roundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", n.URL, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: %w", n.URL, err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the answer of %s is longer than %d MiB", n.URL, maxAnswer>>20)
	}
	return &Answer{n.URL, res.StatusCode, answer}, nil
}

// roundTrip turns a panic of the transport, which can be another plugin's, into an error. Questions are asked in
// goroutines of their own too, where a panic ends the process.
func (n Node) roundTrip(req *http.Request) (res *http.Response, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the transport panicked: %v", r)
		}
	}()
	return n.over.RoundTrip(req)
}

// CheckAddress checks the address of a node, and returns it without a slash at its end.
func CheckAddress(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("a node is written as https://es1.example.com:9200")
	case u.User != nil:
		return "", errors.New("leave the user and the password out of the address of a node")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return "", errors.New("a node is written without a path, as in https://es1.example.com:9200")
	}
	return u.Scheme + "://" + u.Host, nil
}
