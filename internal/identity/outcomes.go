package identity

import (
	"crypto/x509"
	"errors"
	"hash/maphash"
	"runtime"
	"sync/atomic"
	"time"
	"weak"

	lru "github.com/hashicorp/golang-lru/v2"
)

// outcomes remembers the client of each connection, or why it was refused, so that each certificate is examined once.
type outcomes struct {
	clients *lru.Cache[connection, *Client]
	recent  atomic.Pointer[recent] // made with the first client: a server can have many sites
	// Refusals are kept apart, so that no client is forgotten however many strangers come.
	refusals *lru.Cache[connection, remembered]
}

// connection stands for all that a client sent in a handshake: it points to the first of its
// certificates. The pointer is weak: it does not keep certificates, which may be large, in memory when
// their connection has ended. Another connection never has an equal one, even at the same address.
type connection = weak.Pointer[*x509.Certificate]

func connectionOf(sent []*x509.Certificate) connection { return weak.Make(&sent[0]) }

// basis is what an outcome depends on, beside the certificate and the clock. An outcome counts only as long as the
// basis is the same:
//
//	{pool: A, versions: 3}  alice is let in
//	{pool: A, versions: 4}  a deny list has changed: alice is examined again
//	{pool: B, versions: 4}  trust_pool has other authorities: she is examined once more
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
	return &outcomes{clients: clients, refusals: refusals}, nil
}

// recent has clients of the last requests. Most requests find theirs there without a lock: neither that of the
// large memory, which all requests would share, nor that of the runtime for making a weak pointer.
//
// Each connection has a place, which follows from the address of what it sent. Several can have the same one. Then
// each takes it from the other, and the other is still in the large memory.
type recent struct {
	seed   maphash.Seed
	places [1024]atomic.Pointer[Client]
}

// place returns the place of a connection, whoever is there.
func (r *recent) place(sent []*x509.Certificate) *atomic.Pointer[Client] {
	return &r.places[maphash.Comparable(r.seed, &sent[0])%uint64(len(r.places))]
}

// client returns the client that there was on a connection the last time, if that still counts, or nil.
//
// A recent client is returned only if it is of this very connection: the weak pointer says so, also if another
// connection was at the same address before. The first time in each second it is looked up in the large memory
// too. So it counts as used there, and if it was forgotten there, it is soon forgotten here.
func (o *outcomes) client(sent []*x509.Certificate, by basis, at int64) *Client {
	recent := o.recent.Load()
	if recent == nil {
		return nil
	}
	place := recent.place(sent)
	client := place.Load()
	if client != nil && client.connection.Value() == &sent[0] && client.used.Load() == at && client.counts(by, at) {
		return client
	}
	client, ok := o.clients.Get(connectionOf(sent))
	if !ok || !client.counts(by, at) {
		return nil
	}
	client.used.Store(at)
	place.Store(client)
	return client
}

// counts reports whether a client is still who it was said to be: not if the authorities or a file have changed
// since, a revocation list has run out, or the clock was set back.
func (c *Client) counts(by basis, at int64) bool {
	return c.basis == by && at < c.recheck && at >= c.decided
}

// refusal returns why a connection was refused the last time; nil if that can have changed since then.
func (o *outcomes) refusal(key connection, by basis, at int64) error {
	before, ok := o.refusals.Get(key)
	if !ok || before.basis != by || at >= before.until || at < before.decided {
		return nil
	}
	return before.err
}

// admitted remembers a client for as long as its certificates are in memory, which is as long as its connection.
func (o *outcomes) admitted(sent []*x509.Certificate, key connection, client *Client) {
	client.connection = key
	if o.recent.Load() == nil {
		o.recent.CompareAndSwap(nil, &recent{seed: maphash.MakeSeed()})
	}
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
//	12:00:20  it is examined again
//
// It returns the refusal without anything of the certificate in it.
func (o *outcomes) refused(key connection, by basis, now int64, err error, chains [][]*x509.Certificate) error {
	until := now + int64(refusalTime/time.Second)
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
	o.refusals.Add(key, remembered{by, now, until, err})
	return err
}

// nextChange returns when the next of the certificates becomes valid or expires; zero if none does.
func nextChange(now int64, certs ...*x509.Certificate) (next int64) {
	for _, cert := range certs {
		for _, at := range []int64{cert.NotBefore.Unix(), cert.NotAfter.Unix()} {
			if at > now {
				next = earlier(next, at)
			}
		}
	}
	return next
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// unixOf returns a time in Unix seconds; zero for the zero time.
func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
