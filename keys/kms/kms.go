// Package kms is the source of keys that never leave an HSM or a cloud KMS.
package kms

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-jose/go-jose/v4"
	"go.step.sm/crypto/kms"
	"go.step.sm/crypto/kms/apiv1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(Keys))
}

// Keys signs with a key in an HSM or a cloud KMS: anything that go.step.sm/crypto/kms has a
// URI for. The private key never leaves it. Each kind of KMS is a package of its own, which a
// build adds, as docs/keys.md shows for PKCS#11.
//
// While the KMS does not answer, requests that need a new token get 503; it is tried again with
// each of them. A PIN that it refused is not: too many wrong ones lock a token for good.
type Keys struct {
	// The algorithm, which must be one that the key can sign with: RS256, RS384, RS512, PS256,
	// PS384 or PS512 with an RSA key, the one of its curve with an ECDSA key. Default: RS256, or
	// the one of its curve.
	Algorithm string `json:"algorithm,omitempty"`

	// The URI of the key, such as `pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=es;object=jwt?pin-source=/run/secrets/pin`.
	// {file.*} and {env.*} placeholders can stand in it, or for it; a PIN or another secret can
	// be nothing else. They are read again whenever the key is opened again. Required.
	URI string `json:"uri,omitempty"`

	mu      sync.Mutex // never held while the KMS is asked
	key     *keys.Key
	hsm     *kmsSigner
	hanging hanging.Calls // what it was asked for the key in vain
}

// CaddyModule returns the Caddy module information.
func (*Keys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.kms",
		New: func() caddy.Module { return new(Keys) },
	}
}

// Provision checks the settings. It does not ask the KMS, which may be out of reach for now.
func (k *Keys) Provision(ctx caddy.Context) error {
	if err := k.check(); err != nil {
		return err
	}
	for _, file := range kmsFiles(k.URI) {
		setting.WarnOfMode(file, ctx.Logger())
	}
	if strings.HasPrefix(k.URI, "{") {
		return nil // its kind is known once it is opened
	}
	kind, _ := apiv1.TypeOf(k.URI) // check has seen that it has one
	if err := checkKMSKind(kind); err != nil {
		return setting.In("uri", err)
	}
	return nil
}

// check checks the settings.
func (k *Keys) check() error {
	if k.Algorithm != "" {
		if _, err := keys.ParseAlgorithm(k.Algorithm, keys.AsymmetricAlgorithms); err != nil {
			return setting.In("algorithm", err)
		}
	}
	if k.URI == "" {
		return setting.In("uri", errors.New("the key's URI is missing: write `uri \"pkcs11:token=es;object=jwt\"`, or what your KMS calls it"))
	}
	if err := checkKMSSecrets(k.URI); err != nil {
		return setting.In("uri", err)
	}
	if _, err := apiv1.TypeOf(k.URI); err != nil && !strings.HasPrefix(k.URI, "{") {
		return setting.In("uri", errKMSKind)
	}
	return nil
}

// Public implements [keys.Source].
func (*Keys) Public() bool { return true }

// Origin implements [keys.Source]: another URI is another key.
func (k *Keys) Origin() string { return setting.AllOf(k) }

// Keys implements [keys.Source]: it opens the key once.
func (k *Keys) Keys(ctx context.Context, _ keys.Needs) (keys.Answer, error) {
	key, hsm := k.opened()
	if key == nil {
		var err error
		key, err = hanging.Call(ctx, &k.hanging, func() (*keys.Key, error) { return k.open(hsm) })
		switch {
		case errors.Is(err, hanging.Err), ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			return keys.Answer{}, keys.Failed(keys.NoAnswer, fmt.Errorf("opening the key in the KMS: %w: %w", err, keys.ErrNoAnswer))
		case err != nil:
			return keys.Answer{}, keys.Failed(keys.KMSFailed, err)
		}
	}
	return keys.Answer{Fixed: []keys.Fixed{{Key: key, Signs: true}}}, nil
}

// open opens the key. When it is there so late that nobody waits for it, it is for those who ask next.
func (k *Keys) open(hsm *kmsSigner) (*keys.Key, error) {
	key, err := hsm.makeKey(jose.SignatureAlgorithm(k.Algorithm))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
	return key, nil
}

// opened returns the key, which is nil until it has been opened, and what signs with it.
func (k *Keys) opened() (*keys.Key, *kmsSigner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hsm == nil {
		k.hsm = &kmsSigner{uri: k.URI}
	}
	return k.key, k.hsm
}

// Cleanup closes the connection to the KMS.
func (k *Keys) Cleanup() error {
	_, hsm := k.opened()
	return hsm.Close()
}

// kmsSigner is a [crypto.Signer] that opens its key again after it has failed: a token can be
// unplugged, a session can end, and one that hangs is left behind.
type kmsSigner struct {
	uri     string        // with its placeholders
	opening hanging.Lapse // held while a session is opened: PINs are tried one after the other

	mu      sync.Mutex // never held while the KMS is asked: a KMS that hangs must not keep Caddy from going on
	public  crypto.PublicKey
	session *kmsSession
	closed  bool
}

// kmsSession is an open key.
type kmsSession struct {
	signer crypto.Signer
	io.Closer
	uri *location
}

// makeKey opens the key for an algorithm; "" is the one that fits it.
func (s *kmsSigner) makeKey(alg jose.SignatureAlgorithm) (*keys.Key, error) {
	session, err := s.open()
	if err != nil {
		return nil, err
	}
	defer s.endIfClosed(session)
	if alg == "" {
		alg = keys.DefaultAlgorithm(s.Public())
	}
	key, err := keys.NewKey(alg, s)
	if err != nil {
		s.mu.Lock()
		s.public = nil // another key may be put in its place
		s.mu.Unlock()
		s.drop(session)
		return nil, fmt.Errorf("the key in the KMS: %w", err)
	}
	return key, nil
}

// Public implements [crypto.Signer].
func (s *kmsSigner) Public() crypto.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public
}

// Sign implements [crypto.Signer].
func (s *kmsSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if session := s.current(); session != nil {
		signature, err := s.signIn(session, digest, opts)
		if err == nil {
			return signature, nil
		}
		_ = session.uri.note(err) // it is tried once more
		s.drop(session)
	}
	session, err := s.open()
	if err != nil {
		return nil, err
	}
	defer s.endIfClosed(session)
	signature, err := s.signIn(session, digest, opts)
	if err != nil {
		s.drop(session)
		return nil, session.uri.failed("the KMS did not sign", err)
	}
	return signature, nil
}

// signIn signs in a session, which is left behind if it does not answer: whoever comes next opens
// another.
func (s *kmsSigner) signIn(session *kmsSession, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	timeout := time.AfterFunc(timing.SignatureTimeout, func() { s.drop(session) })
	defer timeout.Stop()
	return session.signer.Sign(rand.Reader, digest, opts)
}

func (s *kmsSigner) current() *kmsSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// open opens the key, if it is not open.
func (s *kmsSigner) open() (*kmsSession, error) {
	defer s.opening.Take()()
	if session := s.current(); session != nil {
		return session, nil
	}
	uri, err := resolveKMSURI(s.uri)
	if err != nil {
		return nil, setting.In("uri", err)
	}
	if token := uri.token; token != nil {
		defer token.asking.Take()()
		if err := token.takes(uri.pin); err != nil {
			return nil, err
		}
	}
	session, err := s.login(uri)
	if err != nil {
		return nil, err
	}
	used, ok := s.use(session)
	if used != session {
		_ = session.Close()
	}
	if !ok {
		return nil, errors.New("the KMS has another key under the URI than before: reload the configuration to sign with it")
	}
	return used, nil
}

// login asks the KMS for the key.
func (s *kmsSigner) login(uri *location) (*kmsSession, error) {
	manager, err := kms.New(context.Background(), apiv1.Options{URI: uri.text})
	if err != nil {
		return nil, uri.failed("the KMS cannot be opened", err)
	}
	signer, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri.text})
	if err != nil {
		_ = manager.Close()
		return nil, uri.failed("the KMS has no such key, or does not give it out", err)
	}
	return &kmsSession{signer: signer, Closer: manager, uri: uri}, nil
}

// use makes a session the one that signs, if its key is the same as before. One that was opened
// meanwhile, because this one took so long, stays.
func (s *kmsSigner) use(session *kmsSession) (used *kmsSession, ok bool) {
	public := session.signer.Public()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public != nil {
		if same, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(s.public) {
			return nil, false
		}
	}
	if s.session == nil {
		s.public, s.session = public, session
	}
	return s.session, true
}

// drop closes a session, unless somebody else did.
func (s *kmsSigner) drop(session *kmsSession) {
	s.mu.Lock()
	mine := s.session == session
	if mine {
		s.session = nil
	}
	s.mu.Unlock()
	if mine {
		_ = session.Close()
	}
}

// endIfClosed ends what was begun before the configuration ended, and was still on its way then.
func (s *kmsSigner) endIfClosed(session *kmsSession) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.drop(session)
	}
}

// Close implements [io.Closer]. It does not wait for a KMS that hangs.
func (s *kmsSigner) Close() error {
	s.mu.Lock()
	session := s.session
	s.session, s.closed = nil, true
	s.mu.Unlock()
	if session == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- session.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(timing.StopTimeout):
		return errors.New("the KMS does not end its session, which is left behind")
	}
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	kms {
//	    algorithm <name>
//	    uri       <uri>
//	}
func (k *Keys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Errf("kms takes no %q: write its settings in a block", d.Val())
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Of(map[string]func(*caddyfile.Dispenser) error{
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
	_ keys.Source           = (*Keys)(nil)
	_ caddy.Provisioner     = (*Keys)(nil)
	_ caddy.CleanerUpper    = (*Keys)(nil)
	_ caddyfile.Unmarshaler = (*Keys)(nil)
	_ crypto.Signer         = (*kmsSigner)(nil)
)
