package identity

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/name"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// Header is a header that the handler sets.
type Header struct {
	Name string // canonical

	template template
}

// HasToken reports whether the token is in the header's value. If it is not, the value is in [Client.Headers].
func (h *Header) HasToken() bool { return h.template.hasJWT() }

// WithToken renders a value with {jwt} in it. authorization is "Bearer " and the token.
func (h *Header) WithToken(authorization string) string {
	parts := h.template.parts
	if len(parts) == 2 && parts[0].text == token.Bearer && parts[1].jwt {
		return authorization
	}
	var s strings.Builder
	for _, p := range parts {
		if p.jwt {
			s.WriteString(authorization[len(token.Bearer):])
		} else {
			s.WriteString(p.text)
		}
	}
	return s.String()
}

// headerSize returns how many bytes the injected headers can have, with the signature of the largest key.
func (c *Client) headerSize(headers []Header) int {
	const overhead = 115 + 684 + len("..") // the JWS header with a kid, and an RSA-4096 signature, in base64url
	jwt := base64.RawURLEncoding.EncodedLen(c.Claims.Size()) + overhead
	size := 0
	for i, h := range headers {
		size += len(h.Name) + len(": \r\n") + len(c.Headers[i])
		for _, part := range h.template.parts {
			if part.jwt {
				size += jwt
			} else if h.HasToken() {
				size += len(part.text)
			}
		}
	}
	return size
}

// headersOf renders the values of the headers. Those with the token in them are "".
func (p *Profile) headersOf(cert *certificate) ([]string, error) {
	rendered := make([]string, len(p.headers))
	for i, h := range p.headers {
		if h.template.hasJWT() {
			continue
		}
		values, err := h.template.values(cert)
		switch {
		case name.ProblemOf(err) != "":
			return nil, refuseName(InvalidName, headerName(h.Name), "header "+h.Name, err)
		case err != nil || len(values) != 1 || values[0] != strings.TrimSpace(values[0]):
			// HTTP drops the blanks around a header's value, which would be another name then.
			return nil, refuseHeaderValue(h.Name).because("header "+h.Name, err)
		}
		rendered[i] = values[0]
	}
	return rendered, nil
}

// compileHeaders compiles the headers, Authorization first.
func (s *Settings) compileHeaders(resolve setting.Resolver) ([]Header, error) {
	const authorization = "Authorization"
	configured := make(map[string]string, len(s.Headers)+1)
	for name, value := range s.Headers {
		name = http.CanonicalHeaderKey(name)
		if _, ok := configured[name]; ok {
			return nil, setting.In("header "+name, errors.New(
				"it is there twice, and the upstream gets exactly one value"))
		}
		configured[name] = value
	}
	if _, ok := configured[authorization]; !ok && !s.NoToken {
		configured[authorization] = token.Bearer + "{jwt}"
	}
	var headers []Header
	jwt := false
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		h, err := s.compileHeader(name, configured[name], resolve)
		if err != nil {
			return nil, setting.In("header "+name, err)
		}
		if h.HasToken() && s.NoToken {
			return nil, setting.In("header "+name, errors.New("it has {jwt} in it, and there is no token: "+
				"leave it out, or take the setting `credential` out"))
		}
		jwt = jwt || h.HasToken()
		headers = append(headers, h)
	}
	if !jwt && !s.NoToken {
		return nil, setting.In("header "+authorization, errors.New("no header has {jwt} in it, "+
			"so that the upstream would get no token: write `header Authorization \"Bearer {jwt}\"`"))
	}
	return headers, nil
}

// connectionHeaders are the headers of a connection, which only the proxy may set.
var connectionHeaders = []string{
	"Connection", "Content-Length", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func (s *Settings) compileHeader(header, value string, resolve setting.Resolver) (Header, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(header), strings.Contains(header, "*"): // RFC 9110 allows it, nobody has one
		return Header{}, errors.New("it is not a header name (RFC 9110)")
	case slices.Contains(connectionHeaders, header):
		return Header{}, errors.New("it belongs to the connection, and cannot be set")
	case header == "Es-Client-Authentication":
		return Header{}, errors.New("write `shared_secret {file./path}` instead")
	}
	t, err := s.templateOf(value, name.Header, resolve)
	if err != nil {
		return Header{}, err
	}
	cert := slices.ContainsFunc(t.parts, func(p templatePart) bool { return p.value != nil })
	if t.hasJWT() && cert {
		return Header{}, errors.New("{jwt} and {cert.*} cannot stand in one value: use two headers")
	}
	if len(t.parts) == 0 {
		return Header{}, errors.New("it has no value")
	}
	for _, p := range t.parts {
		if !httpguts.ValidHeaderFieldValue(p.text) || strings.ContainsAny(p.text, "\r\n") {
			return Header{}, errors.New("its value has characters that no header can carry")
		}
	}
	return Header{Name: header, template: t}, nil
}
