package crl_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// TestANewerListIsNeverReplacedByAnOlderOne, nor by a forged one, after any number of fetches. It does
// not matter whether the issuer was known before the first fetch or only after the last one.
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
		"a newer one":        {[]list{newest, at(time.Second)}, crl.Good, crl.BadSignature, false},
		"the same one":       {[]list{newest, newest}, crl.Revoked, crl.BadSignature, false},
		"an older one":       {[]list{newest, at(time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"an older one twice": {[]list{newest, at(time.Hour), at(time.Hour)}, crl.Revoked, crl.BadSignature, true},
		"two older ones": {
			[]list{newest, at(time.Hour), at(2 * time.Hour)}, crl.Revoked, crl.BadSignature, true,
		},
		"older ones that become newer": {
			[]list{newest, at(4 * time.Hour), at(3 * time.Hour), at(2 * time.Hour), at(time.Hour)},
			crl.Revoked,
			crl.BadSignature, true,
		},
		"older ones, and a newer one": {
			[]list{newest, at(2 * time.Hour), at(time.Hour), at(time.Second)}, crl.Good, crl.BadSignature, false,
		},
		"a lower number":      {[]list{numbered(7, 5), numbered(6)}, crl.Revoked, crl.BadSignature, true},
		"lower numbers":       {[]list{numbered(7, 5), numbered(5), numbered(6)}, crl.Revoked, crl.BadSignature, true},
		"a higher number":     {[]list{numbered(6, 5), numbered(7)}, crl.Good, crl.BadSignature, false},
		"a forged one":        {[]list{newest, forged}, crl.Revoked, crl.BadSignature, false},
		"another authority's": {[]list{newest, other, other}, crl.Revoked, crl.BadSignature, false},
		"of its other key":    {[]list{newest, ofNewKey}, crl.Revoked, crl.Revoked, false},
		"of its other key and again": {
			[]list{newest, ofNewKey, at(time.Hour), at(2 * time.Hour)}, crl.Revoked, crl.Revoked, true,
		},
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

// TestWhatIsKeptIsBounded: an attacker on the network can serve any number of lists.
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

// TestAForgedListIsOverWhenTheGoodOneIsBack, and does not replace the good one before. Otherwise an
// attacker on the network, or a mistake at the URL, could refuse an authority's clients for ever.
func TestAForgedListIsOverWhenTheGoodOneIsBack(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	impostor := newAuthority(t, "CA", nil)
	alice, eve := ca.client(t, 5), ca.client(t, 6)
	good := list{authority: ca, entries: revoked(6)}
	forgeries := map[string]list{
		"a damaged signature":          {authority: ca, number: 9, forged: true},
		"one that names a client":      {authority: ca, forged: true, entries: revoked(5)},
		"one of another scope":         {authority: ca, forged: true, exts: point(1)},
		"one for another part":         {authority: ca, forged: true, exts: point(0, "http://ca/1.crl")},
		"another key":                  {authority: impostor, thisUpdate: time.Second},
		"another key, with the client": {authority: impostor, thisUpdate: time.Second, entries: revoked(5)},
		"another key that claims this": {authority: impostor, keyID: ca.SubjectKeyId, entries: revoked(5), exts: point(1)},
		"from the future": {
			authority: impostor, thisUpdate: -20 * time.Minute, nextUpdate: time.Hour, entries: revoked(5),
		},
	}
	for name, forged := range forgeries {
		for _, known := range []bool{true, false} { // the issuer, whenever a list comes
			t.Run(name, func(t *testing.T) {
				var lists *crl.Lists
				status := func(client *x509.Certificate) crl.Status { return lists.Check(chain(client, ca), now).Status }
				fetch := func(l list) {
					lists, _ = crl.Renew(lists, parse(t, l))
					if known {
						status(alice)
					}
				}
				fetch(good)
				times := 5 // while no client comes, no more than eight are kept
				if known {
					times = 20
				}
				for range times {
					fetch(forged)
				}
				require.Equal(t, crl.Good.String(), status(alice).String(), "the good one stays")
				require.Equal(t, crl.Revoked, status(eve))
				fetch(good)
				require.Equal(t, crl.Good.String(), status(alice).String())
				require.Equal(t, crl.Revoked, status(eve))

				lists = nil
				fetch(forged)
				require.NotEqual(t, crl.Good, status(alice), "there is no other")
				fetch(good)
				require.Equal(t, crl.Good.String(), status(alice).String(), "after a start with the forged one")
				require.Equal(t, crl.Revoked, status(eve))
			})
		}
	}
}

// TestAScopeThatIsNoLongerFetchedExpires: when an authority splits its list or joins the parts, the new
// lists have other scopes, and the old ones must not refuse its clients for ever. An attacker who
// withholds some of the lists gains nothing.
func TestAScopeThatIsNoLongerFetchedExpires(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	part := func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://ca/1.crl"} }
	held, alice := ca.client(t, 5, part), ca.client(t, 6, part)
	whole := list{authority: ca, entries: revoked(5)}
	clients := list{authority: ca, exts: point(1), nextUpdate: 48 * time.Hour}
	others := list{authority: ca, exts: point(0, "http://ca/2.crl"), nextUpdate: 48 * time.Hour}
	soon, late := now.Add(30*time.Minute), now.Add(2*time.Hour) // whole expires in between
	tests := map[string]struct {
		fetched                                  []list
		heldSoon, aliceSoon, heldLate, aliceLate crl.Status
	}{
		"it is there":               {[]list{whole}, crl.Revoked, crl.Good, crl.Revoked, crl.Stale},
		"one that covers its place": {[]list{clients}, crl.Revoked, crl.Good, crl.Good, crl.Good},
		"both":                      {[]list{clients, whole}, crl.Revoked, crl.Good, crl.Revoked, crl.Good},
		"another part":              {[]list{others}, crl.Revoked, crl.Good, crl.Revoked, crl.Stale},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lists := parse(t, whole)
			lists.Check(chain(alice, ca), now)
			for range 3 {
				lists, _ = crl.Renew(lists, parse(t, tt.fetched...))
			}
			for _, c := range []struct {
				client *x509.Certificate
				at     time.Time
				want   crl.Status
			}{{held, soon, tt.heldSoon}, {alice, soon, tt.aliceSoon}, {held, late, tt.heldLate}, {alice, late, tt.aliceLate}} {
				verdict := lists.Check(chain(c.client, ca), c.at)
				require.Equal(t, c.want.String(), verdict.Status.String())
				if !verdict.Until.IsZero() {
					require.True(t, verdict.Until.After(c.at))
				}
			}
			require.LessOrEqual(t, len(lists.Infos()), 2)
		})
	}
}
