package apikey

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// object is a key that is stored, in the open and sealed. What is in the open is for cleaning up alone.
type object struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Until   int64  `json:"until"` // when the key ends, in Unix seconds
	Sealed  []byte `json:"sealed"`
}

// stored is what is sealed.
type stored struct {
	ID      string `json:"id"`
	Encoded string `json:"encoded"` // what follows `ApiKey ` in a request
	Since   int64  `json:"since"`   // when the key was made or renewed, in Unix seconds
	Until   int64  `json:"until"`

	Store string `json:"store"` // in the key's metadata: another one if the storage could not be read when it was made

	// For whom it was made or renewed, so that it is deleted when that client is not let in any more.
	Principal string   `json:"principal"`
	Groups    []string `json:"groups"`
	Apart     string   `json:"apart,omitempty"` // as in [credential.Plan]
	Chain     [][]byte `json:"chain,omitempty"`

	name string // of the object
	old  bool   // it is sealed with a password that was changed
}

// client returns for whom it was made.
func (s *stored) client() (*credential.Client, error) {
	if len(s.Chain) == 0 {
		return nil, errors.New("it has no certificate")
	}
	c := &credential.Client{Principal: s.Principal, Groups: s.Groups, NotAfter: s.Until}
	for _, raw := range s.Chain {
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, err
		}
		c.Chain = append(c.Chain, certificate)
	}
	return c, nil
}

// setClient sets for whom it was made or renewed.
func (s *stored) setClient(client *credential.Client) {
	s.Principal, s.Groups, s.Chain = client.Principal, credential.SortedGroups(client.Groups), nil
	for _, certificate := range client.Chain {
		s.Chain = append(s.Chain, certificate.Raw)
	}
}

// load returns a stored key; nil if there is none. An object that cannot be read is none, and known says what is in the
// open of it.
func (s *store) load(ctx context.Context, name string) (found *stored, known *object, err error) {
	aead, h, err := s.sealer(ctx)
	if err != nil {
		return nil, nil, err
	}
	content, err := ask(ctx, s, func(ctx context.Context) ([]byte, error) { return s.storage.Load(ctx, name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	known = new(object)
	if err := json.Unmarshal(content, known); err != nil {
		return nil, &object{}, nil //nolint:nilerr // a damaged object is as good as none
	}
	if known.Version != storedVersion {
		return nil, known, nil
	}
	opened, old, err := unseal(aead, h.Salt, name, known.Sealed)
	if err != nil {
		return nil, known, nil //nolint:nilerr // it was sealed with a password that nobody here knows
	}
	found = &stored{name: name, old: old}
	if err := json.Unmarshal(opened, found); err != nil || found.ID != known.ID || found.ID == "" || found.Encoded == "" {
		return nil, known, nil //nolint:nilerr // it is as good as none
	}
	return found, known, nil
}

// save stores a key under its name.
func (s *store) save(ctx context.Context, key *stored) error {
	aead, _, err := s.sealer(ctx)
	if err != nil {
		return err
	}
	content, err := json.Marshal(key)
	if err != nil {
		return err
	}
	sealed := aead.Seal(nil, nil, content, []byte(key.name)) //nolint:gosec // it makes a nonce of its own each time
	content, err = json.Marshal(object{Version: storedVersion, ID: key.ID, Until: key.Until, Sealed: sealed})
	if err != nil {
		return err
	}
	return s.put(ctx, key.name, content)
}

// remove deletes an object, if it still has a key.
func (s *store) remove(ctx context.Context, name, id string) error {
	_, known, err := s.load(ctx, name)
	if err != nil || known == nil || known.ID != id {
		return err
	}
	_, err = ask(ctx, s, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.storage.Delete(ctx, name)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return nil
}
