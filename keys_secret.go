package esjwt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-jose/go-jose/v4"
)

func init() {
	caddy.RegisterModule(new(SecretKeys))
}

// SecretKeys signs with a shared secret (HMAC), which the realm has as hmac_key, or in its
// hmac_jwkset. It is never published. Whoever has it can make tokens: a public key pair, which
// the other sources have, spares the cluster that.
//
// A changed secret is noticed within half a minute. Elasticsearch reads its own only when it
// starts.
type SecretKeys struct {
	// The algorithm: HS256, HS384 or HS512. The realm's allowed_signature_algorithms must name
	// it. Default: HS256.
	Algorithm string `json:"algorithm,omitempty"`

	// The secret, as a {file.*} or {env.*} placeholder: at least 32, 48 or 64 bytes for HS256,
	// HS384 or HS512. Required.
	Secret string `json:"secret,omitempty"`

	// How the secret is written: "text", whose UTF-8 bytes are the key, as those of hmac_key
	// are; or "base64url" (RFC 4648 section 5), as the member k of a JWK in hmac_jwkset is.
	// Default: text.
	Encoding string `json:"encoding,omitempty"`
}

const (
	encodingText      = "text"
	encodingBase64URL = "base64url"
)

// CaddyModule returns the Caddy module information.
func (*SecretKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.secret",
		New: func() caddy.Module { return new(SecretKeys) },
	}
}

// Provision reads the secret once, so that `caddy validate` finds what is wrong with it.
func (s *SecretKeys) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	setDefault(&s.Algorithm, string(jose.HS256))
	setDefault(&s.Encoding, encodingText)
	_, err := s.Keys(ctx, KeyNeeds{})
	return err
}

// check checks the settings. What is left out has a default, which is fine.
func (s *SecretKeys) check() error {
	if s.Algorithm != "" {
		if _, err := parseAlgorithm(s.Algorithm, symmetricAlgorithms); err != nil {
			return inSetting("algorithm", err)
		}
	}
	if s.Encoding != "" && s.Encoding != encodingText && s.Encoding != encodingBase64URL {
		return inSetting("encoding", fmt.Errorf("use text or base64url, not %q", s.Encoding))
	}
	if err := checkSecret(s.Secret); err != nil {
		return inSetting("secret", err)
	}
	return nil
}

// Public implements [KeySource].
func (*SecretKeys) Public() bool { return false }

// Keys implements [KeySource]: it reads the secret.
func (s *SecretKeys) Keys(context.Context, KeyNeeds) ([]KeyRecord, error) {
	text, err := resolveGlobal(s.Secret)
	if err != nil {
		return nil, inSetting("secret", err)
	}
	text = strings.TrimRight(text, "\r\n") // what an editor adds; anything else may be meant
	secret := []byte(text)
	if s.Encoding == encodingBase64URL {
		if secret, err = base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "=")); err != nil {
			return nil, inSetting("secret", errors.New("it is not base64url (RFC 4648 section 5): write `encoding text` if it is meant as it stands"))
		}
	}
	key, err := NewKey(jose.SignatureAlgorithm(s.Algorithm), secret)
	if err != nil {
		return nil, inSetting("secret", err)
	}
	return []KeyRecord{staticRecord(key, true)}, nil
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	secret {
//	    algorithm HS256|HS384|HS512
//	    secret    <placeholder>
//	    encoding  text|base64url
//	}
func (s *SecretKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Err("secret takes its settings in a block: the secret itself would show in the adapted JSON")
	}
	lines := newSettingLines(d)
	err := parseBlock(d, lines.of(map[string]func(*caddyfile.Dispenser) error{
		"algorithm": func(d *caddyfile.Dispenser) error { return parseString(d, &s.Algorithm) },
		"secret":    func(d *caddyfile.Dispenser) error { return parseString(d, &s.Secret) },
		"encoding":  func(d *caddyfile.Dispenser) error { return parseString(d, &s.Encoding) },
	}))
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return lines.wrap(err)
	}
	return nil
}

// Interface guards
var (
	_ KeySource             = (*SecretKeys)(nil)
	_ caddy.Provisioner     = (*SecretKeys)(nil)
	_ caddyfile.Unmarshaler = (*SecretKeys)(nil)
)
