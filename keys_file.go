package esjwt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(new(FileKeys))
}

// FileKeys reads the keys of a set from files. The first key signs, the others are only
// published: to rotate, add the new key's file at the end, wait until every cache of the JWKS
// has it, then move it to the front, and take the old one out once its tokens have expired.
//
// Changed files are noticed within half a minute, without a reload. While a file cannot be
// read or is no key, the old keys go on.
type FileKeys struct {
	// The algorithm of RSA keys that do not say it themselves, as a JWK can. The algorithm of
	// an ECDSA key is that of its curve. Default: RS256.
	Algorithm string `json:"algorithm,omitempty"`

	// The files: PEM (PKCS#1, PKCS#8 or SEC 1), JWK or JWKS (RFC 7517). The first key signs.
	// Placeholders are global ones, such as {env.CREDENTIALS_DIRECTORY}.
	Files []string `json:"files,omitempty"`

	read map[string][]*Key // by content: the same bytes are the same keys
}

// CaddyModule returns the Caddy module information.
func (*FileKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.file",
		New: func() caddy.Module { return new(FileKeys) },
	}
}

// Provision reads the files once, so that `caddy validate` finds what is wrong with them.
func (f *FileKeys) Provision(caddy.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	f.read = make(map[string][]*Key)
	_, err := f.Keys(context.Background(), KeyNeeds{})
	return err
}

func (f *FileKeys) check() error {
	if len(f.Files) == 0 {
		return errors.New("no key file: add a line `key <file>`")
	}
	if f.Algorithm != "" {
		if _, err := parseAlgorithm(f.Algorithm, asymmetricAlgorithms); err != nil {
			return inSetting("algorithm", err)
		}
	}
	return nil
}

// Public implements [KeySource].
func (*FileKeys) Public() bool { return true }

// Keys implements [KeySource]: it reads the files.
func (f *FileKeys) Keys(context.Context, KeyNeeds) ([]KeyRecord, error) {
	read := make(map[string][]*Key, len(f.Files))
	var records []KeyRecord
	for _, file := range f.Files {
		content, err := readKeyFile(file)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", file, err)
		}
		keys, known := f.read[string(content)]
		if !known {
			if keys, err = parseKeyFile(content, f.Algorithm); err != nil {
				return nil, fmt.Errorf("key file %s: %w", file, err)
			}
		}
		read[string(content)] = keys
		for _, key := range keys {
			if slices.ContainsFunc(records, func(r KeyRecord) bool { return r.is(key) }) {
				return nil, fmt.Errorf("key file %s: the key %s is there twice: take it out of one file", file, key.ID)
			}
			records = append(records, staticRecord(key, len(records) == 0))
		}
	}
	f.read = read
	return records, nil
}

// readKeyFile reads the file that a setting names. A {file.*} placeholder, which the settings for
// secrets are, would be the key itself, and its text would be in the error: it is refused.
func readKeyFile(file string) ([]byte, error) {
	if strings.Contains(file, "{file.") {
		return nil, errors.New("write the file's path as it is, without {file.}")
	}
	name, err := resolveGlobal(file)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(name)
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%w: name a file that Caddy can read", pathError.Err)
	}
	return content, err
}

// staticRecord is the record of a key without instants: one that signs, now and at any time,
// or one that is only published.
func staticRecord(key *Key, signs bool) KeyRecord {
	if signs {
		return KeyRecord{Key: key, Turn: 1, SignsFrom: time.Unix(0, 0)}
	}
	return KeyRecord{Key: key, Turn: 2}
}

// parseKeyFile reads the private keys in a file.
func parseKeyFile(content []byte, algorithm string) ([]*Key, error) {
	parsed, err := parsePrivateKeys(content)
	if err != nil {
		return nil, err
	}
	keys := make([]*Key, len(parsed))
	for i, p := range parsed {
		alg, err := p.chooseAlgorithm(algorithm)
		if err != nil {
			return nil, err
		}
		if keys[i], err = NewKey(alg, p.signer); err != nil {
			return nil, err
		}
		if err := keys[i].selfTest(); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	file [<files...>] {
//	    algorithm <name>
//	    key       <file>
//	}
func (f *FileKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	lines := newSettingLines(d)
	f.Files = d.RemainingArgs()
	err := parseBlock(d, lines.of(map[string]func(*caddyfile.Dispenser) error{
		"algorithm": func(d *caddyfile.Dispenser) error { return parseString(d, &f.Algorithm) },
		"key": func(d *caddyfile.Dispenser) error {
			var file string
			if err := parseString(d, &file); err != nil {
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
		return lines.wrap(err)
	}
	return nil
}

// Interface guards
var (
	_ KeySource             = (*FileKeys)(nil)
	_ caddy.Provisioner     = (*FileKeys)(nil)
	_ caddyfile.Unmarshaler = (*FileKeys)(nil)
)
