package esjwt_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
)

// answering is in the place of the network: it answers at once.
type answering struct{ response *http.Response }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a.response, nil }

// newTransport makes a transport of a kind that sends nothing.
func newTransport(b testing.TB, kind string) http.RoundTripper {
	b.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	require.NoError(b, err)
	module, err := ctx.LoadModuleByID("http.reverse_proxy.transport."+kind, json.RawMessage(`{"compression":false}`))
	require.NoError(b, err)
	base := new(http.Transport)
	switch t := module.(type) {
	case *esjwt.Transport:
		t.Transport = base
	case *reverseproxy.HTTPTransport:
		t.Transport = base
	}
	base.RegisterProtocol("http", answering{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}})
	return module.(http.RoundTripper)
}

// BenchmarkDoors is the cost of a request of a known client from the handler to the network, with the http transport
// and with the transport elasticsearch_jwt, with a likeness of reverse_proxy between them.
func BenchmarkDoors(b *testing.B) {
	clients := newAuthority(b, "clients authority")
	leaf := referenceCertificate(clients, "alice")
	groups := writeFile(b, "groups", []byte(leaf.Subject.Organization[0]+" ApiKey key\n"))
	for _, c := range []struct {
		name, transport, config string
	}{
		{"http", "http", benchConfig},
		{"elasticsearch_jwt", "elasticsearch_jwt", benchConfig},
		{"elasticsearch_jwt and another header", "elasticsearch_jwt", benchConfigWith(`,"headers":{"X-User":"{cert.cn}"}`)},
		// The others send one header as a token does, or two.
		{"proxy_headers", "elasticsearch_jwt", `{"credential":{"kind":"proxy_headers"}}`},
		{"static", "elasticsearch_jwt", `{"credential":{"kind":"static","file":"` + groups + `"}}`},
	} {
		h := newHandler(b, c.config, "")
		transport := newTransport(b, c.transport)
		if c.transport == "elasticsearch_jwt" {
			h.Deliver()
		}
		proxy := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			_, err := transport.RoundTrip(prepared(r))
			return err
		})
		w := httptest.NewRecorder()
		warmUp(b, h, referenceRequest(leaf, clients.cert))
		// Go's maps grow with the ninth header, which is an allocation: see docs/PERFORMANCE.md.
		for _, headers := range []int{8, 9} {
			b.Run(fmt.Sprintf("%s, %d headers", c.name, headers), func(b *testing.B) {
				r, fields := inCaddy(referenceRequest(leaf, clients.cert))
				if headers == 9 {
					r.Header["X-More"] = []string{"more"}
				}
				b.ReportAllocs()
				for b.Loop() {
					*fields = caddyhttp.ExtraLogFields{}
					if err := h.ServeHTTP(w, r, proxy); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// prepared does to a request what reverse_proxy does before it sends it.
func prepared(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.RequestURI = ""
	r.Header["X-Forwarded-For"] = []string{"192.0.2.1"}
	r.Header["X-Forwarded-Proto"] = []string{"https"}
	r.Header["X-Forwarded-Host"] = []string{r.Host}
	r.Header["Via"] = []string{"2.0 Caddy"}
	r.URL.Scheme, r.URL.Host = "", "es1:9200"
	return r
}
