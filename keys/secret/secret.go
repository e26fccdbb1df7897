// Package secret is the source of a shared secret (HMAC).
package secret

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(Source))
}

// Source signs with a shared secret (HMAC, RFC 7518 section 3.2), which the realm has as hmac_key, or in
// its hmac_jwkset. No JWKS shows it. Whoever has the secret can make tokens, so prefer a source with a
// key pair, of which the cluster has the public half alone.
//
// A change of the secret is noticed within ten seconds or so, without a reload. Elasticsearch reads its
// own only when it starts.
type Source struct {
	// The algorithm: HS256, HS384 or HS512. The realm's allowed_signature_algorithms must name
	// it. Default: HS256.
	Algorithm string `json:"algorithm,omitempty"`

	// The secret, as a {file.*} or {env.*} placeholder. It is one line of UTF-8, as Elasticsearch's
	// keystore takes it, without the newline at its end, and has at least 32 bytes for HS256, 48 for
	// HS384 and 64 for HS512. `openssl rand -hex 64` makes one that is long enough for all of them. A
	// public key or a JWK is an error. Required.
	Secret string `json:"secret,omitempty"`

	// How the secret is written. With "text" its UTF-8 bytes are the key, as in the realm's hmac_key.
	// With "base64url" (RFC 4648 section 5) it is decoded, as the member k of a JWK in the realm's
	// hmac_jwkset is. Default: text.
	Encoding string `json:"encoding,omitempty"`

	key *watch.Value[*keys.Key]
}

const (
	encodingText      = "text"
	encodingBase64URL = "base64url"
)

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.secret",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision reads the secret once, so that `caddy validate` finds what is wrong with it.
func (s *Source) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	setting.SetDefault(&s.Algorithm, string(jose.HS256))
	setting.SetDefault(&s.Encoding, encodingText)
	s.key = watch.New(setting.SecretSource(s.Secret), s.parser(ctx.Logger()), ctx.Logger())
	_ = s.key.Read(ctx) // Keys returns the error
	_, err := s.Keys(ctx, keys.Needs{})
	return err
}

// parser returns the parser of a secret. It logs a warning if everybody can read the secret's file.
func (s *Source) parser(logger *zap.Logger) func([]byte) (*keys.Key, error) {
	return func(content []byte) (*keys.Key, error) {
		secret, err := parseHMACSecret(content, s.Encoding)
		if err != nil {
			return nil, err
		}
		key, err := keys.NewKey(jose.SignatureAlgorithm(s.Algorithm), secret)
		if err == nil {
			setting.WarnOfFileMode(setting.SecretFile(s.Secret), logger)
		}
		return key, err
	}
}

// check checks the settings. Algorithm and encoding may be empty.
func (s *Source) check() error {
	if s.Algorithm != "" {
		if _, err := keys.ParseAlgorithm(s.Algorithm, keys.SymmetricAlgorithms); err != nil {
			return setting.In("algorithm", err)
		}
	}
	if s.Encoding != "" && s.Encoding != encodingText && s.Encoding != encodingBase64URL {
		return setting.In("encoding", fmt.Errorf("use text or base64url, not %q", s.Encoding))
	}
	if err := setting.CheckSecret(s.Secret); err != nil {
		return setting.In("secret", err)
	}
	return nil
}

// Public implements [keys.Source].
func (*Source) Public() bool { return false }

// Origin implements [keys.Source].
func (s *Source) Origin() string { return setting.AsJSON(s) }

// Keys implements [keys.Source].
func (s *Source) Keys(context.Context, keys.Needs) (keys.Answer, error) {
	if err := s.key.Err(); err != nil {
		return keys.Answer{}, keys.Failed(keys.KeyUnusable, setting.In("secret", fmt.Errorf("%s: %w", s.Secret, err)))
	}
	return keys.Answer{Fixed: []keys.Fixed{{Key: s.key.Get(), Signs: true}}}, nil
}

// Watch implements [keys.Watcher].
func (s *Source) Watch(ctx context.Context, noticed func()) { s.key.Notice(ctx, noticed) }

// parseHMACSecret returns the bytes of a secret. It reads a file as Elasticsearch's keystore does: one
// line, without the newline.
func parseHMACSecret(content []byte, encoding string) ([]byte, error) {
	text, err := textfile.Decode(content)
	if err != nil {
		return nil, err
	}
	line := strings.TrimRight(string(text), "\r\n") // editors add these; a blank may be part of the secret
	switch {
	case len(text) < len(content):
		return nil, errors.New("it begins with a byte order mark, which would be a part of it: save it without")
	case strings.ContainsAny(line, "\r\n"):
		return nil, setting.ErrSeveralLines
	case isKeyPair(line):
		return nil, errors.New("it is a key or a set of keys, whose public half everybody may know, " +
			"and who knows a shared secret signs with it: make a secret, for instance with " + setting.RandomHexCommand +
			"; in a JWK of hmac_jwkset, the secret is the member k")
	case encoding == encodingBase64URL:
		secret, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(line, "="))
		if err != nil {
			return nil, errors.New("it is not base64url (RFC 4648 section 5): write `encoding text` if it is meant as it stands")
		}
		return secret, nil
	case !utf8.ValidString(line):
		return nil, errors.New("it is not text in UTF-8, which is all that Elasticsearch's keystore takes: " +
			"make another, for instance with " + setting.RandomHexCommand)
	default:
		return []byte(line), nil
	}
}

// isKeyPair reports whether a line is a JWK, a JWKS, PEM, or a public key in base64, as some programs show
// one. A public key that is taken for a secret lets everybody sign: algorithm confusion (CVE-2016-10555).
func isKeyPair(line string) bool {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "-----BEGIN ") {
		return true
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(line), &members) == nil {
		return members["kty"] != nil || members["keys"] != nil
	}
	standard := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(line)
	der, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil {
		return false
	}
	_, err = x509.ParsePKIXPublicKey(der)
	return err == nil
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	secret {
//	    algorithm HS256|HS384|HS512
//	    secret    <placeholder>
//	    encoding  text|base64url
//	}
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Err("secret takes its settings in a block: the secret itself would show in the adapted JSON")
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(map[string]func(*caddyfile.Dispenser) error{
		"algorithm": func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.Algorithm) },
		"secret":    func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.Secret) },
		"encoding":  func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.Encoding) },
	}))
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guards
var (
	_ keys.Source           = (*Source)(nil)
	_ keys.Watcher          = (*Source)(nil)
	_ caddy.Provisioner     = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Source)(nil)
)
