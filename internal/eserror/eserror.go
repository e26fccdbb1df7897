// Package eserror writes errors in the form of Elasticsearch's own, which its clients show to their users, or as a
// page for people.
package eserror

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// The types of errors, as Elasticsearch names them.
const (
	TooLongHeader    = "too_long_http_header_exception"
	Security         = "security_exception"
	IllegalArgument  = "illegal_argument_exception"
	NodeDisconnected = "node_disconnected_exception"
)

// Body returns the JSON of an error.
func Body(status int, kind, reason string) []byte {
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	type causes struct {
		RootCause []cause `json:"root_cause"`
		cause
	}
	why := cause{kind, reason}
	body, _ := json.Marshal(map[string]any{"error": causes{[]cause{why}, why}, "status": status})
	return body
}

// Response returns a response that a transport can return in the place of a node's. If it returned an error,
// reverse_proxy would take that for a failure of the node, and try the next one.
//
// Its ContentLength is -1 although its header tells the length: such a response is flushed by reverse_proxy. Write
// says why it has to be.
func Response(r *http.Request, status int, kind, reason string) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	body := Body(status, kind, reason)
	header := make(http.Header)
	describeJSON(header)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	return &http.Response{
		StatusCode:    status,
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: -1,
		Request:       r,
	}
}
