package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// Vault is a source whose keys are versions of a secret in a Vault.
type Vault struct {
	Path string `json:"path"`

	read func(ctx context.Context, path string) (versions []crypto.Signer, err error) // the newest last
}

// CaddyModule returns the Caddy module information. A plugin registers the module in init.
func (*Vault) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "elasticsearch_jwt.keys.vault", New: func() caddy.Module { return new(Vault) }}
}

// Public says that there is something for a JWKS to show.
func (*Vault) Public() bool { return true }

// Origin: another path has other keys.
func (v *Vault) Origin() string {
	settings, _ := json.Marshal(v)
	return string(settings)
}

// Keys: the newest version but one signs, and the newest is published, so that every cluster knows it before it
// signs, which is when there is a newer one.
func (v *Vault) Keys(ctx context.Context, _ keys.Needs) (keys.Answer, error) {
	versions, err := v.read(ctx, v.Path)
	if err != nil {
		return keys.Answer{}, keys.Failed(keys.StorageUnreachable,
			fmt.Errorf("reading %s: is Vault sealed? %w", v.Path, err))
	}
	var answer keys.Answer
	for i, version := range versions {
		key, err := keys.NewKey(jose.ES256, version)
		if err != nil {
			return keys.Answer{}, keys.Failed(keys.KeyUnusable, fmt.Errorf("version %d of %s: %w", i+1, v.Path, err))
		}
		answer.Fixed = append(answer.Fixed, keys.Fixed{Key: key, Signs: i == max(0, len(versions)-2)})
	}
	return answer, nil
}

// A source for keys that are kept in a Vault.
func ExampleSource() {
	var versions []crypto.Signer
	for range 3 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		versions = append(versions, key)
	}
	var source keys.Source = &Vault{Path: "secret/es", read: func(context.Context, string) ([]crypto.Signer, error) {
		return versions, nil
	}}

	answer, err := source.Keys(context.Background(), keys.Needs{})
	if err != nil {
		panic(err)
	}
	if err := answer.Check(); err != nil {
		panic(err)
	}
	for i, key := range answer.Fixed {
		fmt.Printf("version %d signs: %t\n", i+1, key.Signs)
	}
	// Output:
	// version 1 signs: false
	// version 2 signs: true
	// version 3 signs: false
}
