package headersize_test

import (
	"bytes"
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
				require.GreaterOrEqual(t, countedSize(r), len(lines), lines)
				require.Less(t, countedSize(r), len(lines)+100)
			}
		})
	}
}

// countedSize counts a request as the transport does.
func countedSize(r *http.Request) int {
	size := 0
	for name, values := range r.Header {
		size += headersize.Lines(name, values)
	}
	return headersize.Sent(r, size)
}

// FuzzARequestIsCountedAsItIsSent: whatever the headers are, no more is sent than was counted.
func FuzzARequestIsCountedAsItIsSent(f *testing.F) {
	f.Add("es.example.com", "Authorization", "Bearer e30.e30.", "", int64(2))
	f.Add("", "X-Many", "a\r\nb", "\t", int64(0))
	f.Add("bücher.example", "User-Agent", "", "x", int64(1<<40))
	f.Add(strings.Repeat("\u9e1f.", 7), "0", "", "", int64(0)) // longer in Punycode
	f.Fuzz(func(t *testing.T, host, name, value, another string, length int64) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://es1:9200/_search", strings.NewReader("{}"))
		require.NoError(t, err)
		r.Host, r.Header = host, http.Header{name: {value, another}}
		r.ContentLength = max(-1, length)
		counted := countedSize(r)
		var sent bytes.Buffer
		_ = r.Write(&sent) // the body may have another length, and what net/http refuses is not sent
		head, _, whole := strings.Cut(sent.String(), "\r\n\r\n")
		if _, lines, ok := strings.Cut(head+"\r\n", "\r\n"); ok && whole {
			require.GreaterOrEqual(t, counted, len(lines), lines)
		}
	})
}

func TestALimitIsOneThatAClusterCanHave(t *testing.T) {
	for limit, ok := range map[int]bool{
		headersize.Default: true, 4 << 10: true, 1 << 20: true,
		-1: false, 0: false, 4<<10 - 1: false, 1<<20 + 1: false,
	} {
		require.Equal(t, ok, headersize.Check(limit) == nil, limit)
	}
}
