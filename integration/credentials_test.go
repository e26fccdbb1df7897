package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spellings are ways to write a path of two segments, of which a node or something before it may take
// some for the path itself.
func spellings(path string) []string {
	at := strings.LastIndex(path, "/")
	head, tail := path[:at], path[at+1:]
	encoded := fmt.Sprintf("%%%02x%s", tail[0], tail[1:])
	return []string{
		path, path + "/", path + "//", path + "?pretty", path + "?x=/../..", "/" + path, head + "//" + tail,
		head + "/./" + tail, head + "/x/../" + tail, "/x/.." + path, path + "/.", path + "/x/..",
		head + "/" + encoded, "/%5f" + path[2:], head + "%2f" + tail, path + "%2f", path + "%20", path + "%00", path + "%3Fx",
		head + "/%25" + encoded[1:], path + ";x", head + ";x/" + tail, strings.ToUpper(path), head + `\` + tail, head +
			"%5C" + tail,
		"x:" + path[1:], "x:" + path, "x://" + path, "https://" + proxyName + path, "x:" + head[1:] + "/" + encoded,
	}
}

// sendLine sends a request with a line that no client library would write, and a body in JSON.
func sendLine(t *testing.T, proxy site, certificate tls.Certificate, line, body string) answer {
	t.Helper()
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", proxy.port), &tls.Config{
		RootCAs: proxyCA().Pool(), ServerName: proxyName, Certificates: []tls.Certificate{certificate},
		NextProtos: []string{"http/1.1"},
	})
	require.NoError(t, err)
	defer connection.Close()
	_, err = fmt.Fprintf(connection,
		"%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		line, proxyName, len(body), body)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}
}

// requireNoneMade asks for credentials in every spelling, on a site that lets such requests through
// and on one that refuses them: what the node understands there does not get past here.
func requireNoneMade(
	t *testing.T, f *front, certificate tls.Certificate, methods []string, path, body string, understood func(answer) bool,
) {
	t.Helper()
	refusing := site{handler: "credential_apis refuse"}
	f.startSites(t, &refusing)
	var reached []string
	for _, method := range methods {
		for _, spelled := range spellings(path) {
			line := method + " " + spelled
			if understood(sendLine(t, f.site, certificate, line, body)) {
				reached = append(reached, line)
			}
			got := sendLine(t, refusing, certificate, line, body)
			require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, got.status, line)
			require.Empty(t, got.header["X-Elastic-Product"], "%s: this is the node's answer", line)
			require.False(t, understood(got), line)
		}
	}
	require.NotEmpty(t, reached, "the node makes none at all: %v",
		sendLine(t, f.site, certificate, methods[0]+" "+path, body))
	t.Logf("the node understands:\n%s", strings.Join(reached, "\n"))
}

func TestCredentialsAreNotMadeThroughAProxyThatRefusesIt(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		certificate := clientCA().Client("root", "admins").TLS
		made := func(got answer) bool {
			return got.status == http.StatusOK && (strings.Contains(got.body, `"encoded"`) ||
				strings.Contains(got.body, `"access_token"`))
		}
		requireNoneMade(t, &s.front, certificate, []string{"POST", "PUT", "PATCH", "post"}, "/_security/api_key",
			`{"name":"outlives"}`, made)

		// The key goes on to work whatever becomes of the certificate: that is what the setting is for.
		require.True(t, made(send(t, s.site.client(certificate), http.MethodPost, s.site.url("/_security/api_key"),
			`{"name":"outlives"}`, nil)))
	})
}

func TestOpenSearchCredentialsAreNotMadeThroughAProxyThatRefusesIt(t *testing.T) {
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		certificate := clientCA().Client("root", "admins").TLS
		// Nobody with a certificate has a password to change: what counts is that the security plugin says
		// so, with a status in words, and not the node, with a number.
		understood := func(got answer) bool { return strings.Contains(got.body, `"status":"`) }
		for _, path := range []string{"/_plugins/_security/api/account", "/_opendistro/_security/api/account"} {
			requireNoneMade(t, &s.front, certificate, []string{"PUT"}, path,
				`{"password":"a-Str0ng-pass-phrase-7","current_password":"x"}`, understood)
		}
	})
}
