package identity

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

const (
	testHost = "es.example.com"
	day      = 24 * time.Hour
)

// noting returns an identifier that notes whom it has seen, and a function that says how many of them end soon.
func noting(t *testing.T) (*Identifier, func() []int) {
	t.Helper()
	sightings := new(Sightings)
	id := remembering(t, 1_000_000)
	id.NoteIn(sightings)
	return id, func() []int { return sightings.Ending(time.Now(), day, 7*day, 30*day) }
}

// visit has somebody connect and ask once.
func visit(t *testing.T, id *Identifier, certs ...*x509.Certificate) {
	t.Helper()
	for _, cert := range certs {
		_, _, err := id.Identify(t.Context(), connected(cert, testHost), testHost, time.Now().Unix())
		require.NoError(t, err)
	}
}

func ending(t *testing.T, in time.Duration) *x509.Certificate {
	t.Helper()
	cert := throwaway(t, "alice")
	cert.NotAfter = time.Now().Add(in)
	return cert
}

func TestCertificatesThatEndSoonAreCounted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, count := noting(t)
		require.Equal(t, []int{0, 0, 0}, count())
		visit(t, id, ending(t, time.Hour), ending(t, 6*day), ending(t, 8*day), ending(t, 31*day), ending(t, 365*day))
		require.Equal(t, []int{1, 2, 3}, count())
	})
}

// TestACertificateCountsOnce, however many connections it is used on, and whoever has rewritten its signature.
func TestACertificateCountsOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, count := noting(t)
		cert := ending(t, 6*day)
		rewritten := *cert
		rewritten.Raw = append([]byte(nil), cert.Raw...)
		rewritten.Raw[len(rewritten.Raw)-1] ^= 1
		visit(t, id, cert, cert, &rewritten, cert)
		require.Equal(t, []int{0, 1, 1}, count())
	})
}

// TestWhatIsNotUsedAnyMoreIsNotCounted: a certificate that was renewed is gone an hour later, one that has ended at
// once, and one on a connection that goes on asking stays.
func TestWhatIsNotUsedAnyMoreIsNotCounted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, count := noting(t)
		visit(t, id, ending(t, 6*day))
		visit(t, id, ending(t, 30*time.Minute))
		stays := connected(ending(t, 5*day), testHost)
		for range 120 {
			_, _, err := id.Identify(t.Context(), stays, testHost, time.Now().Unix())
			require.NoError(t, err)
			require.Equal(t, 2, count()[1]-count()[0])
			time.Sleep(29 * time.Second)
		}
		require.Equal(t, []int{0, 2, 2}, count(), "one has ended")
		for range 10 {
			_, _, err := id.Identify(t.Context(), stays, testHost, time.Now().Unix())
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Equal(t, []int{0, 1, 1}, count(), "one has been out of use for an hour")
		time.Sleep(time.Hour)
		require.Equal(t, []int{0, 0, 0}, count())
	})
}

// TestTheEndOfAnIntermediateIsAnEnd.
func TestTheEndOfAnIntermediateIsAnEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, count := noting(t)
		leaf := ending(t, 365*day)
		conn := connected(leaf, testHost)
		conn.VerifiedChains = [][]*x509.Certificate{{leaf, ending(t, 2*day)}}
		_, _, err := id.Identify(t.Context(), conn, testHost, time.Now().Unix())
		require.NoError(t, err)
		require.Equal(t, []int{0, 1, 1}, count())
	})
}

// TestWhatIsCountedIsBounded, and what is no longer counted is forgotten.
func TestWhatIsCountedIsBounded(t *testing.T) {
	s, now := new(Sightings), time.Now()
	client := func(n int) *Client { return &Client{seen: seen{hash: uint64(n)}} }
	for n := range maxSightings + 10 {
		s.note(client(n), now.Add(day).Unix(), now.Unix())
	}
	require.Equal(t, []int{maxSightings}, s.Ending(now, day))
	later := now.Add(Lately)
	s.note(client(0), later.Add(day).Unix(), later.Unix())
	require.Len(t, s.seen, 1)
	require.Equal(t, []int{1}, s.Ending(later, day))
}

// BenchmarkEnding is the cost of a scrape with 100,000 certificates.
func BenchmarkEnding(b *testing.B) {
	s, now := new(Sightings), time.Now()
	for n := range 100_000 {
		s.note(&Client{seen: seen{hash: uint64(n)}}, now.Add(day).Unix(), now.Unix())
	}
	for b.Loop() {
		s.Ending(now, day, 7*day, 30*day)
	}
}
