package kms

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.step.sm/crypto/kms"
	"go.step.sm/crypto/kms/apiv1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// signer is a [crypto.Signer] for a key in a KMS. It opens the key again after it failed to sign,
// since a token can be unplugged, a session can end, and a call can hang for ever.
type signer struct {
	uri     string        // with its placeholders
	opening hanging.Lease // held while the key is opened, so that PINs are tried one after the other

	mu     sync.Mutex       // never held during a call to the KMS, which may hang
	public crypto.PublicKey // of the key that was opened first; another one is refused
	conn   *connection      // nil while the key is not open
	closed bool
}

// connection is a connection to a KMS, in which a key is open.
type connection struct {
	signer crypto.Signer
	io.Closer
	uri *location
}

// makeKey opens the key, and makes one for an algorithm of it. The algorithm "" means the default.
func (s *signer) makeKey(alg jose.SignatureAlgorithm) (*keys.Key, error) {
	conn, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer s.endIfClosed(conn)
	if alg == "" {
		alg = keys.DefaultAlgorithm(s.Public())
	}
	key, err := keys.NewKey(alg, s)
	if err != nil {
		s.mu.Lock()
		s.public = nil // let the operator put another key in its place
		s.mu.Unlock()
		s.drop(conn)
		return nil, fmt.Errorf("the key in the KMS: %w", err)
	}
	return key, nil
}

// Public implements [crypto.Signer].
func (s *signer) Public() crypto.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public
}

// Sign implements [crypto.Signer]. Where the open key fails, it opens the key again and tries once more.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if conn := s.current(); conn != nil {
		signature, err := s.signIn(conn, digest, opts)
		if err == nil {
			return signature, nil
		}
		_ = conn.uri.note(err) // the next try has the error that counts
		s.drop(conn)
	}
	conn, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer s.endIfClosed(conn)
	signature, err := s.signIn(conn, digest, opts)
	if err != nil {
		s.drop(conn)
		return nil, conn.uri.failed("the KMS did not sign", err)
	}
	return signature, nil
}

// signIn signs over a connection. If the KMS does not answer in time, the connection is dropped, so
// that the next request does not wait for the same one.
func (s *signer) signIn(conn *connection, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	timeout := time.AfterFunc(timing.SignatureTimeout, func() { s.drop(conn) })
	defer timeout.Stop()
	return conn.signer.Sign(rand.Reader, digest, opts)
}

// current returns the connection in which the key is open, or nil.
func (s *signer) current() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// connect opens the key, unless it is open.
func (s *signer) connect() (*connection, error) {
	defer s.opening.Acquire()()
	if conn := s.current(); conn != nil {
		return conn, nil
	}
	uri, err := resolve(s.uri)
	if err != nil {
		return nil, setting.In("uri", err)
	}
	if token := uri.token; token != nil {
		defer token.asking.Acquire()()
		if err := token.refuses(uri.pin); err != nil {
			return nil, err
		}
	}
	conn, err := login(uri)
	if err != nil {
		return nil, err
	}
	used, ok := s.use(conn)
	if used != conn {
		_ = conn.Close()
	}
	if !ok {
		return nil, errors.New("the KMS has another key under the URI than before: reload the configuration to sign with it")
	}
	return used, nil
}

// login opens the key at a URI.
func login(uri *location) (*connection, error) {
	// The context would live as long as the connection. The time of the call is limited by who makes it.
	manager, err := kms.New(context.Background(), apiv1.Options{URI: uri.text})
	if err != nil {
		return nil, uri.failed("the KMS cannot be opened", err)
	}
	signer, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri.text})
	if err != nil {
		_ = manager.Close()
		return nil, uri.failed("the KMS has no such key, or does not give it out", err)
	}
	return &connection{signer: signer, Closer: manager, uri: uri}, nil
}

// use signs over a connection from now on, and returns it. If another one was made meanwhile, it returns
// that one. ok is false if the key is another than before.
func (s *signer) use(conn *connection) (used *connection, ok bool) {
	public := conn.signer.Public()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public != nil {
		if same, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(s.public) {
			return nil, false
		}
	}
	if s.conn == nil {
		s.public, s.conn = public, conn
	}
	return s.conn, true
}

// drop closes a connection, unless somebody else dropped it.
func (s *signer) drop(conn *connection) {
	s.mu.Lock()
	mine := s.conn == conn
	if mine {
		s.conn = nil
	}
	s.mu.Unlock()
	if mine {
		_ = conn.Close()
	}
}

// endIfClosed drops a connection that was made while the signer was closed: Close has not seen it.
func (s *signer) endIfClosed(conn *connection) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.drop(conn)
	}
}

// Close implements [io.Closer]. It does not wait for a KMS that hangs.
func (s *signer) Close() error {
	s.mu.Lock()
	conn := s.conn
	s.conn, s.closed = nil, true
	s.mu.Unlock()
	if conn == nil {
		return nil
	}
	var err error
	if !hanging.Within(timing.StopTimeout, func() { err = conn.Close() }) {
		return errors.New("the KMS does not end its session, which is left behind")
	}
	return err
}

// Interface guard
var _ crypto.Signer = (*signer)(nil)
