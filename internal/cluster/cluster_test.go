package cluster_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
)

// nodes answer, each by its host. One without an answer is down.
type nodes struct {
	answers map[string]answer
	asked   []string
	last    *http.Request
	body    string
}

type answer struct {
	status int
	body   string
}

func (n *nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	n.asked = append(n.asked, r.URL.Host)
	n.last = r
	if r.Body != nil {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		n.body = string(content)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a, ok := n.answers[r.URL.Host]
	if !ok {
		return nil, errors.New("connection refused by " + r.URL.Host)
	}
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func (n *nodes) cluster(hosts ...string) *cluster.Cluster {
	asked := make([]cluster.Node, len(hosts))
	for i, host := range hosts {
		asked[i] = cluster.NewNode("https://"+host, n)
	}
	return cluster.New(asked...)
}

var question = cluster.Question{Method: http.MethodGet, Path: "/_security/_authenticate?pretty"}

// TestAnotherNodeIsAskedIfOneIsOfNoUse. What all would say, a refusal for one, is the answer.
func TestAnotherNodeIsAskedIfOneIsOfNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]answer
		status  int
		asked   int // how many; the one whose turn is first in a cluster is a second one, b
		err     string
	}{
		"all are there":      {map[string]answer{"a": {200, ""}, "b": {200, ""}, "c": {200, ""}}, 200, 1, ""},
		"one is there":       {map[string]answer{"a": {200, ""}}, 200, 3, ""},
		"none is there":      {nil, 0, 3, "asking https://a: connection refused"},
		"one is not busy":    {map[string]answer{"a": {200, ""}, "b": {429, ""}, "c": {503, ""}}, 200, 3, ""},
		"all are busy":       {map[string]answer{"a": {502, ""}, "b": {504, ""}, "c": {503, ""}}, 502, 3, ""},
		"busy, and down":     {map[string]answer{"b": {503, ""}}, 503, 3, ""},
		"a refusal":          {map[string]answer{"a": {401, ""}, "b": {401, ""}, "c": {401, ""}}, 401, 1, ""},
		"an error of a node": {map[string]answer{"a": {500, ""}, "b": {500, ""}, "c": {500, ""}}, 500, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &nodes{answers: c.answers}
			got, err := n.cluster("a", "b", "c").Ask(t.Context(), question)
			require.Len(t, n.asked, c.asked)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.status, got.Status)
		})
	}
}

func TestNodesTakeTurns(t *testing.T) {
	n := &nodes{answers: map[string]answer{"a": {200, ""}, "b": {200, ""}, "c": {200, ""}}}
	asked := n.cluster("a", "b", "c")
	for range 6 {
		_, err := asked.Ask(t.Context(), question)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"b", "c", "a", "b", "c", "a"}, n.asked)
}

func TestNobodyIsAskedForARequestThatHasEnded(t *testing.T) {
	n := new(nodes)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.cluster("a", "b").Ask(ctx, question)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, n.asked, 1)

	_, err = cluster.New().Ask(t.Context(), question)
	require.ErrorContains(t, err, "no node to ask")
}

func TestAQuestionIsAskedAsItStands(t *testing.T) {
	n := &nodes{answers: map[string]answer{"a": {200, `{"x":1}`}, "other": {200, ""}}}
	node := cluster.NewNode("https://a", n)
	got, err := node.Ask(t.Context(), cluster.Question{
		Method: http.MethodPost, Path: "/_x?y=z",
		Header: http.Header{"Authorization": {"ApiKey x"}}, Body: map[string]int{"n": 1},
	})
	require.NoError(t, err)
	require.Equal(t, "https://a/_x?y=z", n.last.URL.String())
	require.Equal(t, "ApiKey x", n.last.Header.Get("Authorization"))
	require.Equal(t, "application/json", n.last.Header.Get("Content-Type"))
	require.JSONEq(t, `{"n":1}`, n.body)
	require.Equal(t, &cluster.Answer{Node: "https://a", Status: 200, Body: []byte(`{"x":1}`)}, got)

	_, err = node.At("https://other").Ask(t.Context(), question)
	require.NoError(t, err)
	require.Equal(t, "other", n.last.URL.Host)
	require.Empty(t, n.last.Header.Get("Content-Type"), "it has no body")

	_, err = node.Ask(t.Context(), cluster.Question{Method: http.MethodPost, Path: "/", Body: func() {}})
	require.ErrorContains(t, err, "encoding the body")
}

func TestAnAnswerThatIsTooLongIsAnError(t *testing.T) {
	n := &nodes{answers: map[string]answer{"a": {200, strings.Repeat("x", 16<<20+1)}}}
	_, err := n.cluster("a").Ask(t.Context(), question)
	require.ErrorContains(t, err, "longer than 16 MiB")
}

func TestAnErrorHasTheReasonOfTheNode(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"type":"security_exception","reason":"no"},"status":403}`: "https://a answered 403 security_exception: no",
		`{"error":"no handler found"}`:                                       "https://a answered 403",
		`{"error":{"type":["x"]}}`:                                           "https://a answered 403",
		`<html>`:                                                             "https://a answered 403",
		``:                                                                   "https://a answered 403",
	} {
		err := (&cluster.Answer{Node: "https://a", Status: 403, Body: []byte(body)}).Err()
		require.EqualError(t, err, want, body)
		status, ok := errors.AsType[*cluster.StatusError](err)
		require.True(t, ok)
		require.Equal(t, 403, status.Status)
	}
	long := (&cluster.Answer{Status: 500, Body: []byte(`{"error":{"reason":"` + strings.Repeat("ë", 400) + `"}}`)}).Err()
	require.Less(t, len(long.Error()), 600)
	require.True(t, strings.HasSuffix(long.Error(), "ë…"))

	var into struct{ X int }
	err := (&cluster.Answer{Node: "https://a", Body: []byte(`<`)}).Decode(&into)
	require.ErrorContains(t, err, "https://a answered something else")
	require.NoError(t, (&cluster.Answer{Body: []byte(`{"x":2}`)}).Decode(&into))
	require.Equal(t, 2, into.X)
	require.True(t, (&cluster.Answer{Status: 201}).OK())
	require.False(t, (&cluster.Answer{Status: 302}).OK())
}

func TestAddressesOfNodes(t *testing.T) {
	for address, want := range map[string]string{
		"https://es1:9200":       "https://es1:9200",
		"https://es1.example/":   "https://es1.example",
		"http://[::1]:9200":      "http://[::1]:9200",
		"es1:9200":               "",
		"//es1:9200":             "",
		"ftp://es1":              "",
		"https://":               "",
		"https://u:secret@es1":   "",
		"https://es1/prefix":     "",
		"https://es1?x":          "",
		"https://es1#x":          "",
		"https://es1:secret9200": "",
		"":                       "",
	} {
		got, err := cluster.CheckAddress(address)
		require.Equal(t, want, got, address)
		require.Equal(t, want == "", err != nil, address)
		if err != nil {
			require.NotContains(t, err.Error(), "secret")
		}
	}
}

// panicking is a transport with a fault.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("no such thing") }

func TestAPanicOfTheTransportIsAnError(t *testing.T) {
	_, err := cluster.New(cluster.NewNode("https://a", panicking{})).Ask(t.Context(), question)
	require.EqualError(t, err, "asking https://a: the transport panicked: no such thing")
}
