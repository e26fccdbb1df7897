package identity

import (
	"crypto/x509"
	"errors"
	"runtime"
	"time"
	"weak"

	lru "github.com/hashicorp/golang-lru/v2"
)

// outcomes remember who was at the other end of a connection, or why nobody was, so that each certificate
// is looked at once.
type outcomes struct {
	clients *lru.Cache[connection, *Client]
	// Refusals have a memory of their own: however many strangers come, no client is forgotten for them.
	refusals *lru.Cache[connection, remembered]
}

// connection stands for all that a client sent in a handshake: it points to the first of its
// certificates. The pointer is weak: it does not keep certificates, which may be large, in memory when
// their connection has ended. Another connection never has an equal one, even at the same address.
type connection = weak.Pointer[*x509.Certificate]

func connectionOf(sent []*x509.Certificate) connection { return weak.Make(&sent[0]) }

// basis is what an outcome was decided by, beside the certificate and the clock. An outcome counts only
// as long as the basis is the same:
//
//	{pool: A, versions: 3}  alice is let in
//	{pool: A, versions: 4}  a deny list has changed: alice is looked at again
//	{pool: B, versions: 4}  trust_pool has other authorities: she is looked at once more
type basis struct {
	pool     *x509.CertPool // the handler's own, or nil
	versions uint64         // of the files, added up
}

// remembered is a refusal that counts for a while.
type remembered struct {
	basis          basis
	decided, until int64 // Unix seconds
	err            error
}

const (
	maxRefusals = 10_000

	// refusalTime is how long a refusal is remembered at most.
	refusalTime = time.Minute
)

func newOutcomes(size int) (*outcomes, error) {
	clients, err := lru.NewWithEvict(size, func(_ connection, c *Client) { c.cleanup.Stop() })
	if err != nil {
		return nil, err
	}
	refusals, err := lru.New[connection, remembered](min(size, maxRefusals))
	if err != nil {
		return nil, err
	}
	return &outcomes{clients, refusals}, nil
}

// client returns the client that there was on a connection the last time; nil if the authorities or a
// file have changed since, a revocation list has run out, or the clock was set back.
func (o *outcomes) client(key connection, by basis, at time.Time) *Client {
	client, ok := o.clients.Get(key)
	if !ok || client.basis != by || at.Unix() >= client.recheck || at.Unix() < client.decided {
		return nil
	}
	return client
}

// refusal returns why there was nobody on a connection the last time, unless that can have changed.
func (o *outcomes) refusal(key connection, by basis, at time.Time) error {
	before, ok := o.refusals.Get(key)
	if !ok || before.basis != by || at.Unix() >= before.until || at.Unix() < before.decided {
		return nil
	}
	return before.err
}

// admitted remembers a client for as long as what it sent lives in memory, which is as long as its
// connection.
func (o *outcomes) admitted(sent []*x509.Certificate, key connection, client *Client) {
	// Weak again: old configurations must not live as long as the connections.
	clients := weak.Make(o.clients)
	client.cleanup = runtime.AddCleanup(&sent[0], func(key connection) {
		if c := clients.Value(); c != nil {
			c.Remove(key)
		}
	}, key)
	if before, ok := o.clients.Peek(key); ok {
		before.cleanup.Stop()
	}
	o.clients.Add(key, client)
}

// refused remembers why there is nobody on a connection, for a minute at most. If time alone can change
// that, it is not remembered any longer:
//
//	12:00:00  the certificate is refused, for it is not valid before 12:00:20
//	12:00:20  it is looked at again
//
// It returns the refusal without anything of the certificate in it.
func (o *outcomes) refused(key connection, by basis, now time.Time, err error, chains [][]*x509.Certificate) error {
	until := now.Add(refusalTime)
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		until = earlier(until, refusal.change)
		if refusal.cause != nil {
			refusal.cause = textOf(refusal.cause)
		}
		err = refusal
	} else {
		err = textOf(err)
	}
	for _, chain := range chains {
		until = earlier(until, nextChange(now, chain...))
	}
	o.refusals.Add(key, remembered{by, now.Unix(), until.Unix(), err})
	return err
}

// nextChange is when time alone makes one of the certificates valid, or ends it; zero: never.
func nextChange(now time.Time, certs ...*x509.Certificate) time.Time {
	var next time.Time
	for _, cert := range certs {
		for _, at := range []time.Time{cert.NotBefore, cert.NotAfter} {
			if at.After(now) {
				next = earlier(next, at)
			}
		}
	}
	return next
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
