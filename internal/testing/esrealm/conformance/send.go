package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Target is a node that gets requests.
type Target struct {
	// Address is the node's host and port.
	Address string
	// Authorities may issue the node's certificate.
	Authorities *x509.CertPool
	// Version is the node's release, for instance "9.2.0".
	Version string
}

// Send sends a case. The dates in its token are relative to now.
func (t Target) Send(ctx context.Context, c Case, now time.Time) (*Answer, error) {
	timeout := 30 * time.Second
	if c.Want.Hangs {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lines := c.lines(t.Address, now)
	if c.Body != "" && !c.Raw {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(c.Body)))
	}
	answer, err := t.send(ctx, lines, c.Body, c.Loose)
	if c.Want.Hangs && errors.Is(err, os.ErrDeadlineExceeded) {
		return &Answer{}, nil
	}
	return answer, err
}

// send writes a request to a new connection. It does not use Go's client, which
// refuses to send some of them.
func (t Target) send(ctx context.Context, lines []string, body string, loose bool) (*Answer, error) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{},
		Config:    &tls.Config{RootCAs: t.Authorities, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12},
	}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		return nil, err
	}
	method, _, _ := strings.Cut(lines[0], " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return readAnswer(res, loose)
}

func readAnswer(res *http.Response, loose bool) (*Answer, error) {
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	answer := &Answer{Status: res.StatusCode, Header: map[string][]string{}}
	for _, name := range []string{"Www-Authenticate", "X-Elastic-Product", "Allow"} {
		if values := res.Header.Values(name); len(values) > 0 {
			slices.Sort(values) // the order of challenges is random
			answer.Header[name] = values
		}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return answer, nil
	}
	if err := json.Unmarshal(text, &answer.Body); err != nil {
		return nil, fmt.Errorf("status %d with a body that is no JSON: %w", res.StatusCode, err)
	}
	answer.Body = normalize(answer.Body, loose)
	return answer, nil
}
