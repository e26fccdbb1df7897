package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// remembering returns an identifier for which the TLS layer vouches, and which remembers that many clients.
func remembering(t *testing.T, size int) *Identifier {
	t.Helper()
	settings := Settings{Issuer: "i", Audience: []string{"a"}}
	settings.SetDefaults()
	profile, err := settings.Compile(setting.Resolve)
	require.NoError(t, err)
	id, err := New(profile, new(Files), nil, size)
	require.NoError(t, err)
	return id
}

// connected is a connection of its own, with a certificate that the TLS layer has verified for a host.
func connected(cert *x509.Certificate, host string) *tls.ConnectionState {
	return &tls.ConnectionState{
		HandshakeComplete: true, ServerName: host,
		PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, cert}},
	}
}

// TestAKnownClientIsJudgedAsAnUnknownOne: what verifiedByTLS refuses is refused also if the client is known, and
// no token outlives what it allows, whatever is different from the request before: the chains, the server name,
// the Host, the time.
func TestAKnownClientIsJudgedAsAnUnknownOne(t *testing.T) {
	const host = "es.example.com"
	cert, other := throwaway(t, "alice"), throwaway(t, "alice")
	begin, end := cert.NotBefore.Unix(), cert.NotAfter.Unix()
	short := throwaway(t, "intermediate") // its validity ends sooner
	short.NotAfter = cert.NotAfter.Add(-time.Minute)
	late := throwaway(t, "intermediate") // its validity begins later
	late.NotBefore = cert.NotAfter.Add(-2 * time.Minute)
	chains := [][][]*x509.Certificate{
		{{cert, cert}},
		{{cert, cert}}, // the same at another place
		{{cert, short}},
		{{cert, late}},
		{{cert, short}, {cert, late}},
		{{other, cert}},
		{{cert, other}, {other, cert}},
		{},
		nil,
	}
	now, passed := time.Now().Unix(), 0
	times := []int64{begin - 1, begin, now, now + 1, end - 121, end - 120, end - 61, end - 60, end - 1, end, end + 1, now}
	for first := range chains {
		for _, firstHost := range []string{host, host + ":9200", "other.example.com", ""} {
			known := remembering(t, 100)
			conn := connected(cert, host)
			conn.VerifiedChains = chains[first]
			_, _, _ = known.Identify(t.Context(), conn, firstHost, now)
			for second := range chains {
				for _, serverName := range []string{host, "ES.example.com", "other.example.com", ""} {
					for _, at := range times {
						next := *conn
						next.VerifiedChains, next.ServerName = chains[second], serverName
						for _, h := range []string{host, host + ":9200", "ES.example.com", "other.example.com", ""} {
							byTLS, err := verifiedByTLS(&next, h, nil, at)
							client, notAfter, got := known.Identify(t.Context(), &next, h, at)
							if err != nil {
								require.Equal(t, err, got, "%d then %d, %s %s %d", first, second, serverName, h, at)
							} else if got == nil {
								require.Equal(t, "alice", client.Name())
								require.LessOrEqual(t, notAfter, byTLS.notAfter)
								passed++
							}
						}
					}
				}
			}
		}
	}
	require.Positive(t, passed)
}

// TestTheEndOfAClientsChainIsTheEndOfItsTokens: while nothing else changes, the answer from memory is the one
// that looking at the chains would give.
func TestTheEndOfAClientsChainIsTheEndOfItsTokens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const host = "es.example.com"
		cert, short := throwaway(t, "alice"), throwaway(t, "intermediate")
		short.NotAfter = cert.NotAfter.Add(-time.Minute)
		conn := connected(cert, host)
		conn.VerifiedChains = [][]*x509.Certificate{{cert, short}, {cert, cert}}
		id := remembering(t, 100)
		for time.Now().Before(cert.NotAfter.Add(time.Minute)) {
			byTLS, err := verifiedByTLS(conn, host, nil, time.Now().Unix())
			client, notAfter, errID := id.Identify(t.Context(), conn, host, time.Now().Unix())
			require.Equal(t, err, errID)
			if err == nil {
				require.Equal(t, "alice", client.Name())
				require.Equal(t, byTLS.notAfter, notAfter)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestConnectionsDoNotTakeEachOthersClients: there are more of them than places for recent ones, and their
// memory is used again when they have ended.
func TestConnectionsDoNotTakeEachOthersClients(t *testing.T) {
	const host, people = "es.example.com", 20
	id := remembering(t, 10_000)
	certs := make([]*x509.Certificate, people)
	for i := range certs {
		certs[i] = throwaway(t, fmt.Sprint("client ", i))
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for round := range 3 {
				conns := make([]*tls.ConnectionState, 2000)
				for i := range conns {
					conns[i] = connected(certs[(i+worker+round)%people], host)
				}
				for range 3 {
					for i, conn := range conns {
						client, _, err := id.Identify(t.Context(), conn, host, time.Now().Unix())
						if err != nil || client.Name() != fmt.Sprint("client ", (i+worker+round)%people) {
							t.Error(err, client.Name())
						}
					}
				}
				runtime.GC() // which frees those of the round before
			}
		})
	}
	all.Wait()
}

// TestAForgottenClientIsNotRemembered among the recent ones: the bound holds.
func TestAForgottenClientIsNotRemembered(t *testing.T) {
	const host, size = "es.example.com", 10
	id := remembering(t, size)
	now := time.Now().Unix()
	first := connected(throwaway(t, "alice"), host)
	alice, _, err := id.Identify(t.Context(), first, host, now)
	require.NoError(t, err)
	again, _, err := id.Identify(t.Context(), first, host, now) // now she is one of the recent ones
	require.NoError(t, err)
	require.Same(t, alice, again)
	bob := throwaway(t, "bob")
	conns := make([]*tls.ConnectionState, size)
	for i := range conns {
		conns[i] = connected(bob, host)
		_, _, err := id.Identify(t.Context(), conns[i], host, now)
		require.NoError(t, err)
	}
	require.Equal(t, size, id.outcomes.clients.Len())
	require.Nil(t, id.outcomes.client(first.PeerCertificates, id.basis(nil), now+1))
	require.NotNil(t, id.outcomes.client(conns[size-1].PeerCertificates, id.basis(nil), now+1))
	runtime.KeepAlive(conns)
}

// TestAClientThatComesOftenIsNotForgotten, although its requests do not ask the large memory each time.
func TestAClientThatComesOftenIsNotForgotten(t *testing.T) {
	const host, size = "es.example.com", 10
	id := remembering(t, size)
	now := time.Now().Unix()
	first := connected(throwaway(t, "alice"), host)
	alice, _, err := id.Identify(t.Context(), first, host, now)
	require.NoError(t, err)
	again, _, err := id.Identify(t.Context(), first, host, now) // now she is one of the recent ones
	require.NoError(t, err)
	require.Same(t, alice, again)
	bob := throwaway(t, "bob")
	for i := range int64(10 * size) {
		_, _, err := id.Identify(t.Context(), connected(bob, host), host, now+i)
		require.NoError(t, err)
		again, _, err := id.Identify(t.Context(), first, host, now+i)
		require.NoError(t, err)
		require.Same(t, alice, again)
	}
}

// TestAClientThatWasLookedAtAgainIsFoundAtOnce: the one before, which no longer counts, is not in its way.
func TestAClientThatWasLookedAtAgainIsFoundAtOnce(t *testing.T) {
	o, err := newOutcomes(10)
	require.NoError(t, err)
	sent := []*x509.Certificate{throwaway(t, "alice")}
	now := time.Now().Unix()
	before, after := basis{versions: 1}, basis{versions: 2}
	for _, by := range []basis{before, after} {
		client := &Client{basis: by, decided: now, recheck: now + 60}
		o.admitted(sent, connectionOf(sent), client)
		for range 3 {
			require.Same(t, client, o.client(sent, by, now))
		}
		require.Nil(t, o.client(sent, by, now-1), "the clock was set back")
		require.Nil(t, o.client(sent, by, now+60), "it has to be checked again")
		require.Same(t, client, o.client(sent, by, now))
	}
	require.Nil(t, o.client(sent, before, now))
	runtime.KeepAlive(sent)
}
