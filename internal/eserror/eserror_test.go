package eserror_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
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
	require.Equal(t, http.Header{
		"Content-Length": {strconv.Itoa(len(answer))},
		"Content-Type":   {"application/json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
	}, res.Header)
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

func written(t *testing.T, method string, accept ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://es.example.com/", nil)
	r.Header["Accept"] = accept
	w := httptest.NewRecorder()
	eserror.Write(w, r, http.StatusForbidden, eserror.Security, `it is "<b>" & that's it`)
	return w.Result()
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(body)
}

// TestWhoAsksForAPageGetsOne: browsers do, and no client of Elasticsearch and no program such as curl does.
func TestWhoAsksForAPageGetsOne(t *testing.T) {
	for page, accepts := range map[bool][]string{
		true: {
			"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", // Firefox
			"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8," +
				"application/signed-exchange;v=b3;q=0.7", // Chrome
			"TEXT/HTML", "text/html, text/*;q=0.5, image/*",
			"text/html, application/json;q=0",
		},
		false: {
			"", "*/*", "application/json", "text/*",
			"application/vnd.elasticsearch+json;compatible-with=9",
			"application/json, text/plain, */*",
			"application/json, text/html;q=0.5",
			"text/html, application/vnd.elasticsearch+json; compatible-with=8",
			"text/html;q=0", "text/html;q=0.000, */*",
			"text/html;;;=", ",,,", "text/htmlx",
			"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", // HttpURLConnection of Java (Giphy/GiphyAPI#117)
			"text/html, image/gif, image/jpeg, */*; q=0.2",         // and of Java 17 (openjdk/jdk#7181)
		},
	} {
		for _, accept := range accepts {
			res := written(t, http.MethodGet, accept)
			body := read(t, res)
			require.Equal(t, "Accept", res.Header.Get("Vary"))
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
			if page {
				require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"), accept)
				require.Contains(t, body, "<p>it is &#34;&lt;b&gt;&#34; &amp; that&#39;s it</p>", accept)
				require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
			} else {
				require.Equal(t, "application/json", res.Header.Get("Content-Type"), accept)
				require.JSONEq(t, string(eserror.Body(http.StatusForbidden, eserror.Security, `it is "<b>" & that's it`)), body)
			}
			res = written(t, http.MethodHead, accept)
			require.Empty(t, read(t, res))
			require.Equal(t, http.StatusForbidden, res.StatusCode)
		}
	}
	require.Equal(t, "text/html; charset=utf-8", written(t, http.MethodGet, "application/xhtml+xml, */*", "text/html").Header.Get("Content-Type"),
		"of several lines")
}
