package esjwt_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// newEcho is an upstream that upgrades every connection and says again what it hears.
func newEcho(t *testing.T) *httptest.Server {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(conn, conn)
	}))
	t.Cleanup(echo.Close)
	return echo
}

// webSocket is a client's connection after its upgrade.
type webSocket struct {
	*tls.Conn
	reader *bufio.Reader
}

// upgrade opens a WebSocket (RFC 6455 section 4).
func (p *proxy) upgrade(cert tls.Certificate) *webSocket {
	p.t.Helper()
	conn, err := tls.Dial("tcp", p.address, &tls.Config{
		RootCAs: p.server.pool(), ServerName: site, GetClientCertificate: present([]tls.Certificate{cert}),
		NextProtos: []string{"http/1.1"},
	})
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+site+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	require.NoError(p.t, err)
	reader := bufio.NewReader(conn)
	res, err := http.ReadResponse(reader, nil)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusSwitchingProtocols, res.StatusCode)
	require.NoError(p.t, res.Body.Close()) // it has none: what follows is the WebSocket
	return &webSocket{conn, reader}
}

// isOpen reports whether something that is said comes back.
func (ws *webSocket) isOpen() bool {
	if _, err := io.WriteString(ws.Conn, "hello\n"); err != nil {
		return false
	}
	line, err := ws.reader.ReadString('\n')
	return err == nil && line == "hello\n"
}

// TestOnlyAClientAsksForAWebSocket, and nobody for another tunnel: the handler watches over those that clients ask for.
func TestOnlyAClientAsksForAWebSocket(t *testing.T) {
	for _, protocol := range []string{"websocket", "h2c"} {
		site := behindTheHandler("", "header_up Connection Upgrade\nheader_up Upgrade "+protocol)
		s := newSceneOf(t, site, "{{settings}}", "certificate optional")
		for _, certificates := range [][]tls.Certificate{{s.clients.client("alice")}, nil} {
			a := s.get(s.httpClient(certificates...), "/", "Authorization", "Basic YTpi")
			require.Equal(t, http.StatusOK, a.StatusCode, a.body)
			r := s.upstream.last(t)
			require.NotContains(t, r.Header, "Upgrade")
			require.NotContains(t, r.Header, "Connection")
		}
	}
	s := newSceneOf(t, behindTheHandler("", ""), "{{settings}}", "",
		"{{upstream}}", strings.TrimPrefix(newEcho(t).URL, "http://"))
	require.True(t, s.upgrade(s.clients.client("alice")).isOpen())
}

// TestAWebSocketEndsWhenItsClientIsNoLongerLetIn: denied, expired, or of a configuration that ended. The
// node asks an open connection for no token again.
func TestAWebSocketEndsWhenItsClientIsNoLongerLetIn(t *testing.T) {
	deny := filepath.Join(t.TempDir(), "denied.txt")
	require.NoError(t, os.WriteFile(deny, nil, 0o600))
	kept := strings.Replace(ownPool, "reverse_proxy {{upstream}}",
		"log\nreverse_proxy {{upstream}} {\nstream_close_delay 1h\n}", 1)
	replacements := []string{"{{settings}}", "deny " + deny, "{{upstream}}", strings.TrimPrefix(newEcho(t).URL, "http://")}
	admin := freeAddress(t)
	s := newSceneOf(t, strings.Replace(kept, "admin off", "admin "+admin, 1), replacements...)
	const revoked = `requests_total{reason="revoked",result="refused"}`
	before := metricsOfAdmin(t, admin)
	alice, carol := s.upgrade(s.clients.client("alice")), s.upgrade(s.clients.client("carol"))
	bob := s.upgrade(s.clients.issue(x509.Certificate{
		Subject:  pkix.Name{CommonName: "bob"},
		NotAfter: time.Now().Add(3 * time.Second),
	}))
	for _, ws := range []*webSocket{alice, bob, carol} {
		require.True(t, ws.isOpen())
	}

	require.NoError(t, os.WriteFile(deny, []byte("subject CN=alice\n"), 0o600))
	eventually(t, func() bool { return !bob.isOpen() }, "the WebSocket of an expired certificate ends")
	eventually(t, func() bool { return !alice.isOpen() }, "the WebSocket of a denied certificate ends")
	require.True(t, carol.isOpen(), "those of others go on")
	logged := func(parts ...string) bool {
		for line := range strings.Lines(s.logs.String()) {
			found := true
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return true
			}
		}
		return false
	}
	eventually(t, func() bool {
		return logged("upgraded connections are being ended", `"reason":"revoked"`,
			`"user":"alice"`)
	}, "the log says why")
	eventually(t, func() bool {
		return logged("upgraded connections are being ended", `"reason":"expired"`, `"user":"bob"`)
	},
		"of each")
	eventually(t, func() bool { return logged("http.log.access", `"elasticsearch_jwt":{"reason":"revoked"`) },
		"the access log too")
	require.InDelta(t, 1, metricsOfAdmin(t, admin)[revoked]-before[revoked], 0)

	s.reload(kept, s.replacements(replacements...)...)
	eventually(t, func() bool { return !carol.isOpen() }, "nobody reads the files of the configuration that ended")
}

// TestTheClientOfAnUpgradedConnectionIsLookedAtAgain, in a time of its own: over HTTP/1.1 and, with
// the extended CONNECT of RFC 8441 and RFC 9220, over HTTP/2 and HTTP/3.
func TestTheClientOfAnUpgradedConnectionIsLookedAtAgain(t *testing.T) {
	upgrades := map[string]func(*http.Request){
		"HTTP/1.1": func(r *http.Request) {
			r.Method, r.Header["Connection"], r.Header["Upgrade"] = http.MethodGet, []string{"Upgrade"}, []string{"websocket"}
		},
		"HTTP/2": func(r *http.Request) {
			r.Method, r.ProtoMajor, r.Header[":protocol"] = http.MethodConnect, 2, []string{"websocket"}
		},
		"HTTP/3": func(r *http.Request) { r.Method, r.ProtoMajor, r.Proto = http.MethodConnect, 3, "websocket" },
	}
	changes := map[string]struct {
		settings, file string // a setting of a file, and its content after the change
		reason         string
	}{
		"denied":      {`,"deny":["FILE"]`, "subject CN=alice\n", "revoked"},
		"other roles": {`,"role_mapping":"FILE"`, "admins: ['CN=alice']\n", "unverified"},
		"none":        {`,"deny":["FILE"]`, "subject CN=bob\n", ""},
	}
	for version, upgrade := range upgrades {
		for name, tt := range changes {
			t.Run(version+" "+name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					file := filepath.Join(t.TempDir(), "file")
					require.NoError(t, os.WriteFile(file, nil, 0o600))
					clients := newAuthority(t, "clients authority")
					h := configured(t, strings.ReplaceAll(tt.settings, "FILE", file))
					r := referenceRequest(clients.client("alice").Leaf, clients.cert)
					upgrade(r)
					ended := upgraded(h, r, time.Hour)
					synctest.Wait()
					require.NoError(t, os.WriteFile(file, []byte(tt.file), 0o600))
					time.Sleep(30 * time.Second)
					synctest.Wait()
					select {
					case err := <-ended:
						require.NotEmpty(t, tt.reason, "the connection ended")
						refusal, ok := asRefusal(err)
						require.True(t, ok, err)
						require.Equal(t, tt.reason, refusal.Reason)
					default:
						require.Empty(t, tt.reason, "the connection goes on")
						require.NoError(t, func() error { time.Sleep(time.Hour); return <-ended }())
					}
				})
			})
		}
	}
}

// upgraded has the handler serve a request whose next handler goes on until its context ends, or some
// time is over.
func upgraded(h *esjwt.Handler, r *http.Request, until time.Duration) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- h.ServeHTTP(httptest.NewRecorder(), r,
			caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				select {
				case <-r.Context().Done():
					return r.Context().Err()
				case <-time.After(until):
					return nil
				}
			}))
	}()
	return ended
}
