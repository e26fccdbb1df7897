package eserror_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/eserror"
)

// TestTheAnswerIsLikeElasticsearchs, and ends the request's body.
func TestTheAnswerIsLikeElasticsearchs(t *testing.T) {
	body := &closer{Reader: strings.NewReader("{}")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/", body)
	require.NoError(t, err)
	res := eserror.Response(r, http.StatusRequestHeaderFieldsTooLarge, eserror.TooLongHeader, "it is too large")
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
	require.Len(t, answer, int(res.ContentLength))
	require.JSONEq(t, `{"status":431,"error":{"type":"too_long_http_header_exception","reason":"it is too large",
		"root_cause":[{"type":"too_long_http_header_exception","reason":"it is too large"}]}}`, string(answer))
	require.True(t, body.closed)
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}
