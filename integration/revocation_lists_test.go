package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// listServer is where a revocation list is published, by whoever is there at the moment.
type listServer struct {
	url string

	mu     sync.Mutex
	list   []byte
	served int // how often this list
}

func newListServer(t *testing.T, list []byte) *listServer {
	t.Helper()
	l := &listServer{list: list}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.url = server.URL + "/clients.crl"
	return l
}

func (l *listServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served++
	_, _ = w.Write(l.list)
}

func (l *listServer) publish(list []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.served = list, 0
}

func (l *listServer) timesServed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served
}

// TestForgedListsAreOver: whatever an URL of revocation lists answers in between, the clients of the
// good list are let in, who is on it is not, and when the good one is back all is as before. Each
// reload asks the URL, which otherwise is asked every minute.
func TestForgedListsAreOver(t *testing.T) {
	alice, eve := clientCA().Client("alice", "analysts"), clientCA().Client("eve")
	good := clientCA().RevocationList(eve)
	impostor := pki.NewCA(clientCA().Certificate.Subject.CommonName)
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	unsigned := impostor.RevocationList(alice)
	forClients := forgedList(t, alice)

	lists := newListServer(t, broken)
	upstream := newRecorder(t)
	reloads := 0
	proxy := site{port: freePort(t), upstream: upstream.url, handler: "crl " + lists.url}
	running := proxy.start(t)
	status := func(client pki.Pair) int { return proxy.authenticate(t, proxy.client(client.TLS)).status }
	publish := func(list []byte) {
		lists.publish(list)
		reloads++
		proxy.handler = fmt.Sprintf("crl %s\n\t\tlifetime %dm", lists.url, 10+reloads)
		caddyfile, err := proxy.caddyfile()
		require.NoError(t, err)
		require.NoError(t, running.Reload(t.Context(), caddyfile))
		require.Eventually(t, func() bool { return lists.timesServed() > 0 }, 30*time.Second, 20*time.Millisecond)
	}

	require.Equal(t, http.StatusForbidden, status(alice), "there is no good list yet")
	for _, list := range [][]byte{good, broken, good, unsigned, forClients, []byte("<html>404"), good} {
		publish(list)
		require.Eventually(t, func() bool { return status(alice) == http.StatusNoContent }, 30*time.Second,
			100*time.Millisecond)
		require.Equal(t, http.StatusForbidden, status(eve))
	}
	for _, seen := range upstream.take() {
		require.Equal(t, 2, strings.Count(seen.token(t), "."))
	}
}

// forgedList claims to be the authority's list of clients: of another scope than its list.
func forgedList(t *testing.T, revoked pki.Pair) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now, NextUpdate: now.Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: revoked.Leaf.SerialNumber, RevocationTime: now}},
		ExtraExtensions: []pkix.Extension{{ // an issuing distribution point with onlyContainsUserCerts
			Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff},
		}},
	}, clientCA().Certificate, key)
	require.NoError(t, err)
	return der
}
