// Package kms is the source of keys that never leave an HSM or a cloud KMS.
package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-jose/go-jose/v4"
	"go.step.sm/crypto/kms/apiv1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(Source))
}

// Source signs with a key in an HSM or a cloud KMS: any that go.step.sm/crypto/kms has a URI for. The
// private key never leaves it. Support for each kind of KMS is a package of its own, which has to be
// built into Caddy; docs/keys.md shows how for PKCS#11.
//
// While the KMS does not answer, requests that need a new token get 503, and each of them asks the KMS
// again. A PIN that the KMS refused is not tried again, because a few wrong PINs lock a token for good.
type Source struct {
	// The algorithm to sign with. An RSA key can sign with RS256, RS384, RS512, PS256, PS384 and PS512,
	// an ECDSA key with that of its curve alone. Default: RS256, or that of the curve.
	Algorithm string `json:"algorithm,omitempty"`

	// The URI of the key (RFC 7512 for PKCS#11), such as
	// `pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=es;object=jwt?pin-source=/run/secrets/pin`.
	// {file.*} and {env.*} placeholders can be parts of it, or all of it. A PIN or another secret must
	// be a placeholder. Placeholders are read again each time that the key is opened. Required.
	URI string `json:"uri,omitempty"`

	mu      sync.Mutex    // never held during a call to the KMS
	key     *keys.Key     // nil until it was opened
	signer  *signer       // nil until it is needed
	hanging hanging.Calls // calls to open the key that have no answer yet
}

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.kms",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision checks the settings. It does not open the key: Caddy must start while the KMS is down.
func (k *Source) Provision(ctx caddy.Context) error {
	if err := k.check(); err != nil {
		return err
	}
	for _, file := range secretFiles(k.URI) {
		setting.WarnOfFileMode(file, ctx.Logger())
	}
	if strings.HasPrefix(k.URI, "{") {
		return nil // the whole URI is a placeholder, which is read when the key is opened
	}
	kind, _ := apiv1.TypeOf(k.URI) // check found no error here
	if err := checkKind(kind); err != nil {
		return setting.In("uri", err)
	}
	return nil
}

// check checks the settings.
func (k *Source) check() error {
	if k.Algorithm != "" {
		if _, err := keys.ParseAlgorithm(k.Algorithm, keys.AsymmetricAlgorithms); err != nil {
			return setting.In("algorithm", err)
		}
	}
	if k.URI == "" {
		return setting.In("uri", errors.New("the key's URI is missing: "+
			"write `uri \"pkcs11:token=es;object=jwt\"`, or what your KMS calls it"))
	}
	if err := checkSecrets(k.URI); err != nil {
		return setting.In("uri", err)
	}
	if _, err := apiv1.TypeOf(k.URI); err != nil && !strings.HasPrefix(k.URI, "{") {
		return setting.In("uri", errUnknownKind)
	}
	return nil
}

// Public implements [keys.Source].
func (*Source) Public() bool { return true }

// Origin implements [keys.Source].
func (k *Source) Origin() string { return setting.AsJSON(k) }

// Keys implements [keys.Source]. It opens the key once.
func (k *Source) Keys(ctx context.Context, _ keys.Needs) (keys.Answer, error) {
	key, signer := k.opened()
	if key == nil {
		var err error
		key, err = hanging.Call(ctx, &k.hanging, func() (*keys.Key, error) { return k.open(signer) })
		switch {
		case errors.Is(err, hanging.ErrTooMany), ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			err = fmt.Errorf("opening the key in the KMS: %w: %w", err, keys.ErrNoAnswer)
			return keys.Answer{}, keys.Failed(keys.NoAnswer, err)
		case err != nil:
			return keys.Answer{}, keys.Failed(keys.KMSFailed, err)
		}
	}
	return keys.Answer{Fixed: []keys.Fixed{{Key: key, Signs: true}}}, nil
}

// open opens the key and keeps it. A call that takes too long for the first who waits for it serves the
// next one all the same.
func (k *Source) open(signer *signer) (*keys.Key, error) {
	key, err := signer.makeKey(jose.SignatureAlgorithm(k.Algorithm))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
	return key, nil
}

// opened returns the key, which is nil until it was opened, and its signer.
func (k *Source) opened() (*keys.Key, *signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.signer == nil {
		k.signer = &signer{uri: k.URI}
	}
	return k.key, k.signer
}

// Cleanup closes the connection to the KMS.
func (k *Source) Cleanup() error {
	_, signer := k.opened()
	return signer.Close()
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	kms {
//	    algorithm <name>
//	    uri       <uri>
//	}
func (k *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Errf("kms takes no %q: write its settings in a block", d.Val())
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(map[string]func(*caddyfile.Dispenser) error{
		"algorithm": func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &k.Algorithm) },
		"uri":       func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &k.URI) },
	}))
	if err != nil {
		return err
	}
	if err := k.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

// Interface guards
var (
	_ keys.Source           = (*Source)(nil)
	_ caddy.Provisioner     = (*Source)(nil)
	_ caddy.CleanerUpper    = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Source)(nil)
)
