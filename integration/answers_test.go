package integration

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	elasticsearch8 "github.com/elastic/go-elasticsearch/v8"
	types8 "github.com/elastic/go-elasticsearch/v8/typedapi/types"
	elasticsearch9 "github.com/elastic/go-elasticsearch/v9"
	types9 "github.com/elastic/go-elasticsearch/v9/typedapi/types"
	"github.com/stretchr/testify/require"
)

// TestOfficialClientsSayWhyTheyAreRefused: they show their users the reason, and what to do, as they do with an
// error of Elasticsearch itself.
func TestOfficialClientsSayWhyTheyAreRefused(t *testing.T) {
	proxy := site{port: freePort(t), upstream: newRecorder(t).url, delivery: "elasticsearch_jwt"}
	proxy.start(t)
	for _, tt := range []struct {
		who    string
		certs  []tls.Certificate
		status int
		says   string
	}{
		{"nobody", nil, http.StatusUnauthorized, "no_certificate: the client sent no certificate: connect with TLS"},
		{
			"a client without a name",
			[]tls.Certificate{clientCA().Client("", "analysts").TLS},
			http.StatusForbidden, "no_principal: the certificate lacks what the principal is made of: issue it",
		},
	} {
		t.Run(tt.who, func(t *testing.T) {
			transport := proxy.transportFor(tt.certs...)
			client8, err := elasticsearch8.NewTypedClient(elasticsearch8.Config{
				Addresses: []string{proxy.url("")}, Transport: transport,
			})
			require.NoError(t, err)
			_, err = client8.Info().Do(t.Context())
			require.ErrorContains(t, err, "status: "+strconv.Itoa(tt.status))
			require.ErrorContains(t, err, tt.says)
			var error8 *types8.ElasticsearchError
			require.ErrorAs(t, err, &error8)
			require.Equal(t, "security_exception", error8.ErrorCause.Type)
			require.Len(t, error8.ErrorCause.RootCause, 1)

			client9, err := elasticsearch9.NewTyped(
				elasticsearch9.WithAddresses(proxy.url("")),
				elasticsearch9.WithTransportOptions(elastictransport.WithTransport(transport)),
			)
			require.NoError(t, err)
			_, err = client9.Info().Do(t.Context())
			require.ErrorContains(t, err, tt.says)
			var error9 *types9.ElasticsearchError
			require.ErrorAs(t, err, &error9)
			require.Equal(t, tt.status, error9.Status)
			t.Log(err)
		})
	}
}

// TestCurlShowsWhyItIsRefused, by the handler or by the transport, over each version of HTTP that it speaks, and
// however much it has still to send.
func TestCurlShowsWhyItIsRefused(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no curl: install it")
	}
	require.NoError(t, err)
	dir := t.TempDir()
	authority, large := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "bulk")
	require.NoError(t, os.WriteFile(authority, proxyCA().PEM(), 0o600))
	file, err := os.Create(large)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(20<<20))
	require.NoError(t, file.Close())
	for what, tt := range map[string]struct {
		proxy site
		says  string
	}{
		"the handler": {site{}, `"reason":"no_certificate: `},
		"the transport": {
			site{handler: "certificate optional", proxy: "header_up X-Large " + strings.Repeat("x", 20_000)},
			`"reason":"too_large: `,
		},
	} {
		proxy := tt.proxy
		proxy.port, proxy.upstream = freePort(t), newRecorder(t).url
		proxy.start(t)
		for version, times := range map[string]int{"--http1.1": 1, "--http2": 20} {
			for body, more := range map[string][]string{
				"no body":       nil,
				"an empty POST": {"--request", "POST"},
				"a large body":  {"--data-binary", "@" + large, "--header", "Expect:"},
				"a large file":  {"--upload-file", large},
			} {
				for range times {
					command := exec.CommandContext(t.Context(), curl, append([]string{
						"--silent", "--show-error", "--max-time", "20", "--user", "alice:secret", version,
						"--cacert", authority, "--resolve", proxyName + ":" + strconv.Itoa(proxy.port) + ":127.0.0.1",
						proxy.url("/_search"),
					}, more...)...)
					command.Stderr = io.Discard
					output, _ := command.Output() // curl may complain that not all of the body was taken
					require.Contains(t, string(output), tt.says, "%s, %s, %s", what, version, body)
				}
			}
		}
	}
}
