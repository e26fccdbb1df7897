package crl_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// TestANewerListIsNeverReplacedByAnOlderOne, nor by a forged one, over any number of generations,
// whether its issuer was known from the start or only in the end.
func TestANewerListIsNeverReplacedByAnOlderOne(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	renewed := newAuthority(t, "CA", nil) // the same authority with a new key
	alice, bob := ca.client(t, 5), renewed.client(t, 6)
	at := func(age time.Duration, serials ...int64) list {
		return list{authority: ca, thisUpdate: age, entries: revoked(serials...)}
	}
	numbered := func(number int64, serials ...int64) list {
		return list{authority: ca, number: number, entries: revoked(serials...)}
	}
	newest := at(time.Minute, 5)
	forged := list{authority: ca, thisUpdate: time.Second, forged: true}
	other := list{authority: newAuthority(t, "Other", nil)}
	ofNewKey := list{authority: renewed, entries: revoked(6)}

	tests := map[string]struct {
		fetched    []list // one after the other
		alice, bob crl.Status
		rollback   bool // at the end, if the issuers were known before
	}{
		"a newer one":                  {[]list{newest, at(time.Second)}, crl.Good, crl.BadSignature, false},
		"the same one":                 {[]list{newest, newest}, crl.Revoked, crl.BadSignature, false},
		"an older one":                 {[]list{newest, at(time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"an older one twice":           {[]list{newest, at(time.Hour), at(time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"two older ones":               {[]list{newest, at(time.Hour), at(2 * time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"older ones that become newer": {[]list{newest, at(4 * time.Hour), at(3 * time.Hour), at(2 * time.Hour), at(time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"older ones, and a newer one":  {[]list{newest, at(2 * time.Hour), at(time.Hour), at(time.Second)}, crl.Good, crl.BadSignature, false},
		"a lower number":               {[]list{numbered(7, 5), numbered(6)}, crl.Revoked, crl.BadSignature, true},
		"lower numbers":                {[]list{numbered(7, 5), numbered(5), numbered(6)}, crl.Revoked, crl.BadSignature, true},
		"a higher number":              {[]list{numbered(6, 5), numbered(7)}, crl.Good, crl.BadSignature, false},
		"a forged one":                 {[]list{newest, forged}, crl.Revoked, crl.BadSignature, false},
		"another authority's":          {[]list{newest, other, other}, crl.Revoked, crl.BadSignature, false},
		"of its other key":             {[]list{newest, ofNewKey}, crl.Revoked, crl.Revoked, false},
		"of its other key and again":   {[]list{newest, ofNewKey, at(time.Hour), at(2 * time.Hour)}, crl.Revoked, crl.Revoked, true},
	}
	for name, tt := range tests {
		for _, known := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				var lists *crl.Lists
				var rollback bool
				check := func(client *x509.Certificate, issuer *authority) crl.Status {
					return lists.Check(chain(client, issuer), now).Status
				}
				for _, l := range tt.fetched {
					lists, rollback = crl.Renew(lists, parse(t, l))
					if known {
						check(alice, ca)
						check(bob, renewed)
					}
				}
				if known {
					require.Equal(t, tt.rollback, rollback)
				}
				require.Equal(t, tt.alice, check(alice, ca))
				if name != "a forged one" {
					require.Equal(t, tt.bob, check(bob, renewed))
				}
			})
		}
	}
}

// TestWhatIsKeptIsBounded: whoever is on the way can serve as many lists as they like.
func TestWhatIsKeptIsBounded(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	var lists *crl.Lists
	for i := range 20 {
		lists, _ = crl.Renew(lists, parse(t, list{authority: ca, number: int64(i + 1)}))
		require.LessOrEqual(t, len(lists.Infos()), 9)
	}
	lists.Check(chain(ca.client(t, 5), ca), now)
	lists, _ = crl.Renew(lists, parse(t, list{authority: ca, number: 100}))
	require.Len(t, lists.Infos(), 1, "once the issuer is known, its newest list is enough")
	require.Positive(t, lists.SignersKnown())

	again, rollback := crl.Renew(lists, parse(t, list{authority: ca, number: 100}))
	require.False(t, rollback)
	require.Len(t, again.Infos(), 1)
	require.Positive(t, again.SignersKnown(), "what is known of the signatures is kept")
}
