package esjwt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// This file counts the headers that a node would get. Elasticsearch and OpenSearch read no more than
// http.max_header_size of them; they answer one that is larger with 400, keep the connection open, and
// read nothing more from it. A proxy that goes on to use the connection hangs the next client's request.

const (
	// defaultMaxHeaderSize is http.max_header_size where a cluster does not say otherwise.
	defaultMaxHeaderSize = 16 << 10

	minMaxHeaderSize = 4 << 10
	maxMaxHeaderSize = 1 << 20

	// othersSize is what the headers of a client and of reverse_proxy may have beside those that we
	// inject: a certificate whose token leaves less is refused, whatever the request.
	othersSize = 2 << 10

	// proxySize is more than reverse_proxy adds to a request, apart from the client's Host, which is in
	// Host and in X-Forwarded-Host: X-Forwarded-For and -Proto, Via, the Host of the node, the length and
	// the encoding.
	proxySize = 768

	// wireSize is more than net/http adds to a request: the length and the encoding.
	wireSize = 96
)

func checkMaxHeaderSize(size int) error {
	if size < minMaxHeaderSize || size > maxMaxHeaderSize {
		return setting.In("max_header_size", fmt.Errorf("%d bytes: use what the cluster has in http.max_header_size, "+
			"4KiB to 1MiB (its 16kb is 16KiB)", size))
	}
	return nil
}

// maxInjected is how many bytes of headers we add to a request at most: the rest is for the client's and
// the proxy's own.
func (p *profile) maxInjected() int { return p.maxHeaderSize - othersSize }

// lineSize is how many bytes a header line has, in HTTP/1.1.
func lineSize(name, value string) int { return len(name) + len(value) + len(": \r\n") }

// linesSize is how many bytes the lines of one header have.
func linesSize(name string, values []string) int {
	size := 0
	for _, value := range values {
		size += lineSize(name, value)
	}
	return size
}

// requestSize is how many bytes of header lines a request has at most when net/http sends it.
func requestSize(r *http.Request) int {
	size := lineSize("Host", r.Host) + wireSize
	if r.Host == "" {
		size += len(r.URL.Host)
	}
	for name, values := range r.Header {
		size += linesSize(name, values)
	}
	return size
}

// fits refuses a request whose headers a node would not read: size is what they have with ours.
func (h *Handler) fits(size int, r *http.Request) error {
	if size+proxySize+2*len(r.Host) <= h.MaxHeaderSize {
		return nil
	}
	return refuseTooLarge(h.MaxHeaderSize)
}

func refuseTooLarge(limit int) *Refusal {
	return refuse(tooLarge, "the headers of the request, with those that the proxy adds, "+
		"would have more than the %d bytes that the cluster reads: "+
		"send fewer or shorter ones, such as cookies; if http.max_header_size is larger, say so with max_header_size", limit)
}

// answerTooLarge is what the transport answers in a node's stead. An error would count as the node's
// failure, and be tried again with another node.
func answerTooLarge(r *http.Request, limit int) *http.Response {
	const status = http.StatusRequestHeaderFieldsTooLarge
	if r.Body != nil {
		_ = r.Body.Close()
	}
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	type causes struct {
		RootCause []cause `json:"root_cause"`
		cause
	}
	// In Elasticsearch's own form, under the name that it has for it.
	why := cause{"too_long_http_header_exception", refuseTooLarge(limit).Error()}
	body, _ := json.Marshal(map[string]any{"error": causes{[]cause{why}, why}, "status": status})
	return &http.Response{
		StatusCode:    status,
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}
