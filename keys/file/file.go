// Package file is the source of keys that are in files.
package file

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(Source))
}

// Source reads the keys of a set from files. The first private key signs; the JWKS shows all keys. To
// rotate, add the new key's file at the end. Once every cache of the JWKS has it, move it to the front.
// Once the tokens of the old key have expired, remove its file. The public half of a key that no
// longer signs is enough.
//
// A change of a file is noticed within ten seconds or so, without a reload. While a file cannot be
// read or has no valid key in it, the set keeps the keys that it has.
type Source struct {
	// The algorithm of an RSA key: RS256, RS384, RS512, PS256, PS384 or PS512. The alg of a JWK comes
	// before it, and an ECDSA key has the algorithm of its curve. Default: RS256.
	Algorithm string `json:"algorithm,omitempty"`

	// The files, each with keys in PEM (PKCS#1, PKCS#8, SEC 1, or public keys), a JWK or a JWKS
	// (RFC 7517). The first private key signs, and there must be one. Let only Caddy read them. Global
	// placeholders such as {env.CREDENTIALS_DIRECTORY} are replaced. Required.
	Files []string `json:"files,omitempty"`

	files []*watch.Value[[]*keys.Key]
}

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.file",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision reads the files once, so that `caddy validate` finds what is wrong with them.
func (f *Source) Provision(ctx caddy.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	f.files = make([]*watch.Value[[]*keys.Key], len(f.Files))
	for i, file := range f.Files {
		name, err := setting.FileName(file)
		if err != nil {
			return inKeyFile(file, err)
		}
		f.files[i] = watch.New(watch.File(name), f.parser(name, ctx.Logger()), ctx.Logger())
		_ = f.files[i].Read(ctx) // Keys returns the error
	}
	_, err := f.Keys(ctx, keys.Needs{})
	return err
}

// parser returns the parser of a key file. It logs a warning if everybody can read a private key.
func (f *Source) parser(name string, logger *zap.Logger) func([]byte) ([]*keys.Key, error) {
	return func(content []byte) ([]*keys.Key, error) {
		parsed, err := parseKeyFile(content, f.Algorithm)
		if err == nil && slices.ContainsFunc(parsed, func(k *keys.Key) bool { return k.CanSign() }) {
			setting.WarnOfFileMode(name, logger)
		}
		return parsed, err
	}
}

func (f *Source) check() error {
	if len(f.Files) == 0 {
		return errors.New("no key file: add a line `key <file>`")
	}
	if f.Algorithm != "" {
		if _, err := keys.ParseAlgorithm(f.Algorithm, keys.AsymmetricAlgorithms); err != nil {
			return setting.In("algorithm", err)
		}
	}
	return nil
}

// Public implements [keys.Source].
func (*Source) Public() bool { return true }

// Origin implements [keys.Source].
func (f *Source) Origin() string { return setting.AsJSON(f) }

// Keys implements [keys.Source].
func (f *Source) Keys(context.Context, keys.Needs) (keys.Answer, error) {
	var fixed []keys.Fixed
	signs := false
	for i, file := range f.files {
		if err := file.Err(); err != nil {
			return keys.Answer{}, inKeyFile(f.Files[i], err)
		}
		for _, key := range file.Get() {
			if slices.ContainsFunc(fixed, func(other keys.Fixed) bool { return other.Is(key) }) {
				err := fmt.Errorf("the key %s is there twice: take it out of one file", key.ID)
				return keys.Answer{}, inKeyFile(f.Files[i], err)
			}
			first := !signs && key.CanSign()
			signs = signs || first
			fixed = append(fixed, keys.Fixed{Key: key, Signs: first})
		}
	}
	if !signs {
		err := errors.New("there are public keys alone, and one must sign: name the file of a private key too")
		return keys.Answer{}, inKeyFile(strings.Join(f.Files, ", "), err)
	}
	return keys.Answer{Fixed: fixed}, nil
}

// Watch implements [keys.Watcher].
func (f *Source) Watch(ctx context.Context, noticed func()) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, file := range f.files {
		watching.Go(func() { file.Notice(ctx, noticed) })
	}
}

func inKeyFile(file string, err error) error {
	return keys.Failed(keys.KeyUnusable, fmt.Errorf("key file %s: %w", file, err))
}

// parseKeyFile makes the keys of the content of a file.
func parseKeyFile(content []byte, algorithm string) ([]*keys.Key, error) {
	parsed, err := parseKeys(content)
	if err != nil {
		return nil, err
	}
	made := make([]*keys.Key, len(parsed))
	for i, p := range parsed {
		if made[i], err = p.key(algorithm); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	file [<files...>] {
//	    algorithm <name>
//	    key       <file>
//	}
func (f *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	lines := setting.NewLines(d)
	f.Files = d.RemainingArgs()
	err := setting.ParseBlock(d, lines.Record(map[string]func(*caddyfile.Dispenser) error{
		"algorithm": func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &f.Algorithm) },
		"key": func(d *caddyfile.Dispenser) error {
			var file string
			if err := setting.ParseString(d, &file); err != nil {
				return err
			}
			f.Files = append(f.Files, file)
			return nil
		},
	}), "key")
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
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
