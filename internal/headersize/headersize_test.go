package headersize_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
)

// TestARequestIsCountedAsItIsSent: what is counted is not less than what net/http writes, and not much more.
func TestARequestIsCountedAsItIsSent(t *testing.T) {
	for name, header := range map[string]http.Header{
		"nothing":     {},
		"some":        {"Authorization": {"Bearer e30.e30."}, "X-Opaque-Id": {"a"}},
		"many values": {"X-Many": {"a", "", "ccc"}, "Accept-Encoding": {"gzip"}, "User-Agent": {strings.Repeat("u", 5000)}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, host := range []string{"", "es.example.com"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/_search",
					strings.NewReader("{}"))
				require.NoError(t, err)
				r.Header, r.Host = header, host
				var sent bytes.Buffer
				require.NoError(t, r.Write(&sent))
				head, _, _ := strings.Cut(sent.String(), "\r\n\r\n")
				_, lines, _ := strings.Cut(head+"\r\n", "\r\n")
				require.GreaterOrEqual(t, headersize.Request(r), len(lines), lines)
				require.Less(t, headersize.Request(r), len(lines)+100)
			}
		})
	}
}

func TestALimitIsOneThatAClusterCanHave(t *testing.T) {
	for limit, ok := range map[int]bool{
		headersize.Default: true, 4 << 10: true, 1 << 20: true,
		-1: false, 0: false, 4<<10 - 1: false, 1<<20 + 1: false,
	} {
		require.Equal(t, ok, headersize.Check(limit) == nil, limit)
	}
}

// TestTheAnswerIsLikeElasticsearchs, and ends the request's body.
func TestTheAnswerIsLikeElasticsearchs(t *testing.T) {
	body := &closer{Reader: strings.NewReader("{}")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/", body)
	require.NoError(t, err)
	res := headersize.ErrorResponse(r, "it is too large")
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
