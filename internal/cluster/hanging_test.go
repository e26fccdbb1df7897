package cluster_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// hangs is a transport to nodes of which one never answers.
type hangs struct{ node string }

func (h hangs) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == h.node {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// TestANodeThatHangsLeavesTimeForTheOthers: whichever comes first, there is an answer in time.
func TestANodeThatHangsLeavesTimeForTheOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		over := hangs{"es2:9200"}
		c := cluster.New(
			cluster.NewNode("https://es1:9200", over),
			cluster.NewNode("https://es2:9200", over),
			cluster.NewNode("https://es3:9200", over),
		)
		for range 6 {
			ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
			answer, err := c.Ask(ctx, cluster.Question{Method: http.MethodGet, Path: "/"})
			require.NoError(t, err)
			require.True(t, answer.OK())
			cancel()
		}
	})
}
