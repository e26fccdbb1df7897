package crl_test

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// Serial numbers of every length are told apart, even if their last bytes are the same.
// The reason is that of a certificate's first entry.
func TestSerialsOfAnyKind(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	random := rand.New(rand.NewPCG(1, 2))
	number := func() *big.Int {
		n := make([]byte, 1+random.IntN(20))
		for i := range n {
			n[i] = byte(random.IntN(2) * 0x90)
		}
		return new(big.Int).SetBytes(n)
	}
	want := map[string]string{} // the reason
	var entries []x509.RevocationListEntry
	for range 5000 {
		entry := revokedFor(random.IntN(7), 0)[0]
		entry.SerialNumber = number()
		if _, known := want[entry.SerialNumber.String()]; !known {
			reason := entry.ExtraExtensions[0].Value[2]
			want[entry.SerialNumber.String()] = []string{
				"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
				"cessationOfOperation", "certificateHold",
			}[reason]
		}
		entries = append(entries, entry)
	}
	lists := parse(t, list{authority: ca, entries: entries})
	require.Equal(t, len(want), lists.Infos()[0].Revoked)
	require.Less(t, len(want), len(entries), "some are there twice")
	find := func(serial *big.Int) string {
		cert := &x509.Certificate{RawIssuer: ca.RawSubject, SerialNumber: serial}
		return lists.Check(chain(cert, ca), now).Reason
	}
	for _, entry := range entries {
		require.Equal(t, want[entry.SerialNumber.String()], find(entry.SerialNumber))
	}
	for range 5000 {
		serial := number()
		require.Equal(t, want[serial.String()], find(serial))
	}
}

// BenchmarkSerials parses lists of many certificates, sorted by serial number and not, and looks up one
// certificate. The metric bytes/cert is the memory for each certificate, including the list itself.
func BenchmarkSerials(b *testing.B) {
	ca := newAuthority(b, "CA", nil)
	for _, n := range []int{100_000, 1_000_000} {
		sorted := many(b, ca, n)
		shuffled := many(b, ca, n)
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) {
			shuffled.entries[i], shuffled.entries[j] = shuffled.entries[j], shuffled.entries[i]
		})
		for order, der := range map[string][]byte{"sorted": sorted.der(b), "shuffled": shuffled.der(b)} {
			b.Run(fmt.Sprintf("parse/%s/%d", order, n), func(b *testing.B) {
				before := heap()
				var lists *crl.Lists
				for b.Loop() {
					var err error
					if lists, err = crl.Parse(der); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "bytes/cert")
				runtime.KeepAlive(lists)
			})
		}
		lists, err := crl.Parse(shuffled.der(b))
		if err != nil {
			b.Fatal(err)
		}
		for name, serial := range map[string]int{"hit": n / 3, "miss": n + 1} {
			cert := ca.client(b, 1)
			cert.SerialNumber = serialNumber(serial)
			clients := chain(cert, ca)
			want := crl.Good
			if name == "hit" {
				want = crl.Revoked
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if lists.Check(clients, now).Status != want {
						b.Fatal("not ", want)
					}
				}
			})
		}
	}
}

// heap returns the number of bytes in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
