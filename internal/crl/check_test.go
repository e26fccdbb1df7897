package crl_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

// The client's serial number is 5, its authority's 77.
func TestCheck(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	users := newAuthority(t, "Users", root)
	alice := users.client(t, 5)
	other := newAuthority(t, "Users", nil)
	tests := map[string]struct {
		lists []list
		want  crl.Status
		cert  *x509.Certificate // that Status is about
		until time.Duration     // from now
	}{
		"no list":                {nil, crl.Good, nil, 0},
		"a list without entries": {[]list{{authority: users}}, crl.Good, nil, time.Hour},
		"a list of others": {
			[]list{{authority: users, entries: revoked(4, 6, 77)}}, crl.Good, nil, time.Hour,
		},
		"a list with the client": {[]list{{authority: users, entries: revoked(4, 5, 6)}}, crl.Revoked, alice, 0},
		"one of version 1": {
			[]list{{authority: users, v1: true, entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"one of version 1 with others": {
			[]list{{authority: users, v1: true, entries: revoked(6)}}, crl.Good, nil, time.Hour,
		},
		"a list with the client's authority": {
			[]list{{authority: root, entries: revoked(77)}}, crl.Revoked, users.Certificate, 0,
		},
		"the number at another authority": {[]list{{authority: root, entries: revoked(5)}}, crl.Good, nil, time.Hour},
		"the lists of both authorities": {
			[]list{{authority: root, nextUpdate: 2 * time.Hour}, {authority: users, nextUpdate: 3 * time.Hour}},
			crl.Good, nil, 2 * time.Hour,
		},
		"the client and its authority": {
			[]list{{authority: root, entries: revoked(77)}, {authority: users, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},

		"a key that was compromised": {[]list{{authority: users, entries: revokedFor(1, 5)}}, crl.Revoked, alice, 0},
		"a certificate on hold":      {[]list{{authority: users, entries: revokedFor(6, 5)}}, crl.Revoked, alice, 0},
		"an unknown reason":          {[]list{{authority: users, entries: revokedFor(99, 5)}}, crl.Revoked, alice, 0},
		"an entry that is to be removed": {
			[]list{{authority: users, entries: revokedFor(8, 5)}}, crl.Good, nil, time.Hour,
		},
		"one to be removed, and one for all": {
			[]list{{authority: users, entries: append(revokedFor(8, 5), revoked(5)...)}}, crl.Revoked, alice, 0,
		},

		"a list that is out of date": {
			[]list{{authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}}, crl.Stale, alice, 0,
		},
		"one whose next is due now": {[]list{{authority: users, nextUpdate: -1}}, crl.Stale, alice, 0},
		"one that is out of date, with the client": {
			[]list{{authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},
		"the root's is out of date": {
			[]list{{authority: users}, {authority: root, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}},
			crl.Stale, users.Certificate, time.Hour,
		},
		"out of date at one, revoked at the other": {
			[]list{
				{authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}, {authority: root, entries: revoked(77)},
			},
			crl.Revoked, users.Certificate, 0,
		},

		"a list from the future": {
			[]list{{authority: users, thisUpdate: -30 * time.Minute}}, crl.NotYetValid, alice, 30*time.Minute - crl.Skew,
		},
		"a clock that is a little ahead": {[]list{{authority: users, thisUpdate: -crl.Skew}}, crl.Good, nil, time.Hour},
		"from the future, with the client": {
			[]list{{authority: users, thisUpdate: -30 * time.Minute, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},
		"the next list beside today's": {
			[]list{{authority: users, thisUpdate: -30 * time.Minute, entries: revoked(5)}, {authority: users}},
			crl.Good, nil, 30*time.Minute - crl.Skew,
		},
		"the next list beside an outdated one": {
			[]list{
				{authority: users, thisUpdate: -30 * time.Minute},
				{authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour},
			},
			crl.Stale, alice, 30*time.Minute - crl.Skew,
		},
		"two from the future": {
			[]list{{authority: users, thisUpdate: -30 * time.Minute}, {authority: users, thisUpdate: -20 * time.Minute}},
			crl.NotYetValid, alice, 20*time.Minute - crl.Skew,
		},

		"a newer list with the client": {
			[]list{{authority: users, thisUpdate: 2 * time.Hour}, {authority: users, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},
		"a newer list without it": {
			[]list{{authority: users}, {authority: users, thisUpdate: 2 * time.Hour, entries: revokedFor(6, 5)}},
			crl.Good, nil, time.Hour,
		},
		"a greater number of the same time": {
			[]list{{authority: users, number: 9, entries: revoked(5)}, {authority: users, number: 10}},
			crl.Good, nil, time.Hour,
		},
		"a newer list that is out of date": {
			[]list{
				{authority: users, thisUpdate: 30 * time.Minute, nextUpdate: -time.Minute},
				{authority: users, nextUpdate: time.Hour},
			},
			crl.Stale, alice, 0,
		},

		"a bad signature": {[]list{{authority: users, forged: true}}, crl.BadSignature, alice, 0},
		"a bad signature that revokes": {
			[]list{{authority: users, forged: true, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},
		"a newer list with a bad signature": {
			[]list{{authority: users, thisUpdate: 2 * time.Hour, entries: revoked(5)}, {authority: users, forged: true}},
			crl.Revoked, alice, 0,
		},
		"an older list with a bad signature": {
			[]list{{authority: users}, {authority: users, thisUpdate: 2 * time.Hour, forged: true}},
			crl.Good, nil, time.Hour,
		},
		"a bad signature at one, out of date at the other": {
			[]list{{authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}, {authority: root, forged: true}},
			crl.BadSignature, users.Certificate, 0,
		},
		"a bad signature with another distribution point": {
			[]list{{authority: users, forged: true, exts: point(2)}},
			crl.BadSignature, alice, 0,
		},
		"another authority of the same name": {
			[]list{{authority: other, entries: revoked(4)}}, crl.BadSignature, alice, 0,
		},
		"one that does not say so": {
			[]list{{authority: other, keyID: []byte{}, entries: revoked(4)}}, crl.BadSignature, alice, 0,
		},
		"one that claims to be ours": {
			[]list{{authority: other, keyID: users.SubjectKeyId, entries: revoked(4)}}, crl.BadSignature, alice, 0,
		},
		"the same with the client (PKITS 4.5.5)": {
			[]list{{authority: other, entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"ours, which claims to be another's": {
			[]list{{authority: users, keyID: other.SubjectKeyId, entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"ours, which does not say so": {
			[]list{{authority: users, keyID: []byte{}, entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"the list of the new key beside the old": {
			[]list{{authority: other, thisUpdate: 1, entries: revoked(4)}, {authority: users}}, crl.Good, nil, time.Hour,
		},
		"the same, with the client": {
			[]list{{authority: other, thisUpdate: 1, entries: revoked(5)}, {authority: users}}, crl.Revoked, alice, 0,
		},
		"the same, and they do not say whose they are": {
			[]list{{authority: other, thisUpdate: 1, keyID: []byte{}}, {authority: users, keyID: []byte{}, entries: revoked(5)}},
			crl.Revoked, alice, 0,
		},
		"the same, of the other key out of date": {
			[]list{{authority: other, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}, {authority: users}},
			crl.Good, nil,
			time.Hour,
		},
		"the name with strings of another type": {
			[]list{{authority: users, rawIssuer: utf8Name(t, "Users"), entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"the same in capitals, beside an older list": {
			[]list{
				{authority: users, thisUpdate: 2 * time.Hour},
				{authority: users, rawIssuer: utf8Name(t, "USERS"), entries: revoked(5)},
			}, crl.Revoked, alice, 0,
		},

		"for clients only": {
			[]list{{authority: users, exts: point(1), entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"for clients only, out of date": {
			[]list{{authority: users, exts: point(1), thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}}, crl.Stale, alice, 0,
		},
		"for clients only, and it is none": {
			[]list{{authority: root, exts: point(1), thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}},
			crl.Uncovered,
			users.Certificate, 0,
		},
		"for authorities only": {
			[]list{{authority: root, exts: point(2), entries: revoked(77)}}, crl.Revoked, users.Certificate, 0,
		},
		"for authorities only, and it is none": {
			[]list{{authority: users, exts: point(2), thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}},
			crl.Uncovered,
			alice, 0,
		},
		"for authorities, out of date": {
			[]list{{authority: root, exts: point(2), thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}},
			crl.Stale,
			users.Certificate, 0,
		},
		"for authorities, from the future": {
			[]list{{authority: users, exts: point(2), thisUpdate: -30 * time.Minute}}, crl.Uncovered, alice, 0,
		},
		"a newer list for authorities": {
			[]list{{authority: users, thisUpdate: 2 * time.Hour, entries: revoked(5)}, {authority: users, exts: point(2)}},
			crl.Revoked, alice, 0,
		},
		"for authorities only, with the client": {
			[]list{{authority: users, exts: point(2), entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		"for clients, beside one for all": {
			[]list{{authority: users, exts: point(1)}, {authority: users, thisUpdate: 3 * time.Hour, nextUpdate: -time.Hour}},
			crl.Good, nil, time.Hour,
		},
		"with a distribution point": {
			[]list{{authority: users, exts: point(0, "http://ca/1.crl"), entries: revoked(5)}}, crl.Revoked, alice, 0,
		},
		// RFC 5280 section 6.3.3 (b)(2), PKITS 4.14.9, OpenSSL's error 44
		"with a distribution point, and the client has none": {
			[]list{{authority: users, exts: point(0, "http://ca/1.crl")}}, crl.Uncovered, alice, 0,
		},
		"for some reasons": {[]list{{authority: users, exts: reasons(0x7f)}}, crl.Uncovered, alice, 0},
		"for the others":   {[]list{{authority: users, exts: reasons(0x80, 0x80)}}, crl.Uncovered, alice, 0},
		"for all but one": {
			[]list{{authority: users, exts: reasons(0x7f)}, {authority: users, exts: reasons(0x7f, 0)}}, crl.Uncovered, alice, 0,
		},
		"for all in two parts": {
			[]list{{authority: users, exts: reasons(0x7f)}, {authority: users, exts: reasons(0, 0x80)}},
			crl.Good, nil,
			time.Hour,
		},
		"one part out of date": {
			[]list{{authority: users, exts: reasons(0x7f)}, {
				authority: users, exts: reasons(0, 0x80), thisUpdate: 3 * time.Hour,
				nextUpdate: -time.Hour,
			}}, crl.Stale, alice, time.Hour,
		},
		"revoked for some": {
			[]list{{authority: users, exts: reasons(0x7f), entries: revokedFor(1, 5)}}, crl.Revoked, alice, 0,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			verdict := parse(t, tt.lists...).Check([]*x509.Certificate{alice, users.Certificate, root.Certificate}, now)
			require.Equal(t, tt.want.String(), verdict.Status.String())
			require.Same(t, tt.cert, verdict.Cert)
			if tt.want == crl.Good || tt.until != 0 {
				want := time.Time{}
				if tt.until != 0 {
					want = now.Add(tt.until)
				}
				require.Equal(t, want, verdict.Until)
			}
			require.Equal(t, tt.want == crl.Stale, !verdict.NextUpdate.IsZero())
			require.Equal(t, tt.want == crl.Revoked, verdict.Reason != "")
		})
	}
}

// utf8Name returns an authority's name with UTF8Strings. crypto/x509 would write
// PrintableStrings.
func utf8Name(t testing.TB, name string) []byte {
	t.Helper()
	attribute := func(value string, oid ...int) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{
			Type:  oid,
			Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(value)},
		}}
	}
	der, err := asn1.Marshal(pkix.RDNSequence{attribute("Acme", 2, 5, 4, 10), attribute(name, 2, 5, 4, 3)})
	require.NoError(t, err)
	return der
}

func TestCheckSaysWhy(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	for code, want := range []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "unknown", 9: "privilegeWithdrawn", 10: "aACompromise", 11: "unknown", 255: "unknown",
	} {
		if want != "" {
			verdict := parse(t, list{authority: ca, entries: revokedFor(code, 5)}).Check(chain(ca.client(t, 5), ca), now)
			require.Equal(t, want, verdict.Reason)
		}
	}
	verdict := parse(t, list{authority: ca, entries: revoked(5)}).Check(chain(ca.client(t, 5), ca), now)
	require.Equal(t, "unspecified", verdict.Reason)

	due := now.Add(-2 * time.Hour)
	verdict = parse(t, list{authority: ca, thisUpdate: 3 * time.Hour, nextUpdate: -2 * time.Hour}).Check(
		chain(ca.client(t, 5), ca), now)
	require.Equal(t, due, verdict.NextUpdate)
}

func chain(client *x509.Certificate, authorities ...*authority) []*x509.Certificate {
	certs := []*x509.Certificate{client}
	for _, a := range authorities {
		certs = append(certs, a.Certificate)
	}
	return certs
}

func TestCheckBelievesOnlyWhoMaySignLists(t *testing.T) {
	key := newKey(t)
	usage := func(u x509.KeyUsage) change { return func(c *x509.Certificate) { c.KeyUsage = u } }
	id := func(b byte) change { return func(c *x509.Certificate) { c.SubjectKeyId = []byte{b} } }
	tests := map[string]struct {
		usage change
		id    change
		want  crl.Status
	}{
		"for lists":                                   {usage(x509.KeyUsageCRLSign), id(1), crl.Revoked},
		"for anything":                                {usage(0), id(1), crl.Revoked},
		"for certificates only":                       {usage(x509.KeyUsageCertSign), id(1), crl.BadSignature},
		"the same key under another identifier":       {usage(x509.KeyUsageCRLSign), id(2), crl.Revoked},
		"the same, in a certificate for certificates": {usage(x509.KeyUsageCertSign), id(2), crl.BadSignature},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ca := newAuthorityWithKey(t, "CA", nil, key, tt.usage, tt.id)
			entries := revoked(5)
			if tt.want == crl.BadSignature {
				entries = revoked(4)
			}
			lists := parse(t, list{authority: ca, keyID: []byte{1}, entries: entries})
			require.Equal(t, tt.want, lists.Check(chain(ca.client(t, 5), ca), now).Status)
		})
	}
}

// crypto/x509 decides which algorithms can be used. It parses a list with an algorithm that it cannot
// verify, and it may learn to verify algorithms that are newer than this package.
func TestAlgorithmsAreForX509ToJudge(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	dsaWithSHA256 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 2}
	lists := parse(t, list{authority: ca, algorithm: dsaWithSHA256})
	require.Equal(t, crl.BadSignature, lists.Check(chain(ca.client(t, 5), ca), now).Status)
}

// An authority can split its list into parts, each for the certificates that have its
// address. The parts do not replace each other.
func TestCheckOfAListInParts(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	first, second := "http://ca/1.crl", "http://ca/2.crl"
	of := func(uris ...string) change {
		return func(c *x509.Certificate) { c.CRLDistributionPoints = uris }
	}
	stale := func(l list) list {
		l.thisUpdate, l.nextUpdate = 3*time.Hour, -time.Hour
		return l
	}
	one := list{authority: ca, thisUpdate: 2 * time.Hour, exts: point(0, first), entries: revoked(5)}
	two := list{authority: ca, exts: point(0, second, "http://mirror/2.crl"), entries: revoked(6)}
	tests := map[string]struct {
		client *x509.Certificate
		lists  []list
		want   crl.Status
	}{
		"on the older part":                 {ca.client(t, 5, of(first)), []list{one, two}, crl.Revoked},
		"on the newer part":                 {ca.client(t, 6, of(second)), []list{one, two}, crl.Revoked},
		"on none":                           {ca.client(t, 7, of(second)), []list{one, two}, crl.Good},
		"on the part of others":             {ca.client(t, 5, of(second)), []list{one, two}, crl.Revoked},
		"its part is out of date":           {ca.client(t, 7, of(first)), []list{stale(one), two}, crl.Stale},
		"the part of others is out of date": {ca.client(t, 7, of(second)), []list{stale(one), two}, crl.Good},
		"its mirror is out of date": {
			ca.client(t, 7, of("http://x/", "http://mirror/2.crl")), []list{one, stale(two)}, crl.Stale,
		},
		"it names no part, one is out of date":     {ca.client(t, 7), []list{stale(one), two}, crl.Uncovered},
		"only the part of others, and out of date": {ca.client(t, 7, of(second)), []list{stale(one)}, crl.Uncovered},
		"only the part of others":                  {ca.client(t, 7, of(second)), []list{one}, crl.Uncovered},
		"the same address over https":              {ca.client(t, 7, of("https://ca/1.crl")), []list{one}, crl.Uncovered},
		// smallstep/certificates#1770
		"it names no part": {ca.client(t, 7), []list{one, two}, crl.Uncovered}, // PKITS 4.14.9
		"it names both":    {ca.client(t, 7, of(first, second)), []list{stale(one), two}, crl.Good},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, parse(t, tt.lists...).Check(chain(tt.client, ca), now).Status)
		})
	}
}

// The name of a part need not be a URI.
func TestCheckOfAPartWithAnotherName(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	client := ca.client(t, 5, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"u:"} })
	named := ca.client(t, 5, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{directoryPoint(t,
			"Part 1")}
	})
	issuer := string(ca.RawSubject)
	der := func(tag byte, content string) string { return string([]byte{tag, byte(len(content))}) + content }
	for name, tt := range map[string]struct {
		point        string
		client, part crl.Status
	}{
		"relative to the issuer": {
			der(0x30, der(0xa0, "\xa1\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08not this")), crl.Uncovered, crl.Uncovered,
		},
		"a directory name": {
			der(0x30, der(0xa0, der(0xa0, der(0xa4, string(commonName(t, "part 1")))))), crl.Uncovered, crl.Stale,
		},
		"the issuer's":         {der(0x30, der(0xa0, der(0xa0, der(0xa4, issuer)))), crl.Stale, crl.Stale},
		"a URI and another":    {der(0x30, der(0xa0, der(0xa0, "\x86\x02u:\xa4\x02\x30\x00"))), crl.Stale, crl.Uncovered},
		"a host":               {der(0x30, der(0xa0, der(0xa0, "\x82\x02u:"))), crl.Uncovered, crl.Uncovered},
		"a name of nothing":    {der(0x30, der(0xa0, der(0xa0, ""))), crl.Uncovered, crl.Uncovered},
		"no name":              {"\x30\x00", crl.Stale, crl.Stale},
		"a flag that is false": {"\x30\x03\x82\x01\x00", crl.Stale, crl.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			stale := list{
				authority: ca, exts: []pkix.Extension{rawPoint([]byte(tt.point))}, thisUpdate: 3 * time.Hour,
				nextUpdate: -time.Hour,
			}
			require.Equal(t, tt.client.String(), parse(t, stale).Check(chain(client, ca), now).Status.String())
			require.Equal(t, tt.part.String(), parse(t, stale).Check(chain(named, ca), now).Status.String())
		})
	}
}

func commonName(t testing.TB, name string) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.Name{CommonName: name}.ToRDNSequence())
	require.NoError(t, err)
	return der
}

// directoryPoint returns the CRL distribution points of a certificate, with a directory name.
func directoryPoint(t testing.TB, name string) pkix.Extension {
	t.Helper()
	var b cryptobyte.Builder
	constructed := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	inside := func(tag cbasn1.Tag, add func(*cryptobyte.Builder)) func(*cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) { b.AddASN1(tag, add) }
	}
	directory := inside(constructed(4), func(b *cryptobyte.Builder) { b.AddBytes(commonName(t, name)) })
	inside(cbasn1.SEQUENCE, inside(cbasn1.SEQUENCE, inside(constructed(0), inside(constructed(0), directory))))(&b)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: b.BytesOrPanic()}
}

func TestCheckOfChainsWithoutAnIssuer(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	lists := parse(t, list{authority: ca, entries: revoked(5, 77)})
	require.Zero(t, lists.Check(nil, now))
	require.Zero(t, lists.Check(chain(ca.client(t, 5)), now), "trusted as it is")
	require.Zero(t, lists.Check(chain(ca.Certificate), now))
	unreadable := &x509.Certificate{RawIssuer: []byte("no DER"), SerialNumber: big.NewInt(5)}
	require.Zero(t, lists.Check(chain(unreadable, ca), now), "no list has such a name")
}

func TestCheckAgainWhenToldTo(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	client := ca.client(t, 5)
	lists := parse(t, list{authority: ca, nextUpdate: time.Hour},
		list{authority: ca, thisUpdate: -30 * time.Minute, entries: revoked(5)})
	verdict := lists.Check(chain(client, ca), now)
	require.Equal(t, crl.Good, verdict.Status)
	require.Equal(t, crl.Good, lists.Check(chain(client, ca), verdict.Until.Add(-time.Nanosecond)).Status)
	require.Equal(t, crl.Revoked, lists.Check(chain(client, ca), verdict.Until).Status)

	lists = parse(t, list{authority: ca})
	verdict = lists.Check(chain(client, ca), now)
	require.Equal(t, crl.Good, lists.Check(chain(client, ca), verdict.Until.Add(-time.Nanosecond)).Status)
	require.Equal(t, crl.Stale, lists.Check(chain(client, ca), verdict.Until).Status)
}

func TestCheckByManyAtOnce(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	users := newAuthority(t, "Users", root)
	lists := parse(t, list{authority: users, entries: revoked(5)}, list{authority: root})
	alice, bob := users.client(t, 5), users.client(t, 6)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if s := lists.Check(chain(alice, users, root), now).Status; s != crl.Revoked {
					t.Errorf("alice is %s", s)
				}
				if s := lists.Check(chain(bob, users, root), now).Status; s != crl.Good {
					t.Errorf("bob is %s", s)
				}
				_ = lists.Infos()
			}
		})
	}
	wg.Wait()
}

// More keys than a list remembers: the verdict is right for all of them.
func TestCheckWithManyKeys(t *testing.T) {
	ours := newAuthority(t, "CA", nil)
	lists := parse(t, list{authority: ours, keyID: []byte{}, entries: revoked(5)})
	for range 40 {
		other := newAuthority(t, "CA", nil)
		require.Equal(t, crl.BadSignature, lists.Check(chain(other.client(t, 4), other), now).Status)
	}
	for range 2 {
		require.Equal(t, crl.Revoked, lists.Check(chain(ours.client(t, 5), ours), now).Status)
	}
}

func TestSerialNumbersAtTheEdges(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	numbers := []*big.Int{
		big.NewInt(0), big.NewInt(1), big.NewInt(0x7f), big.NewInt(0x80), big.NewInt(0xff), big.NewInt(0x100),
		big.NewInt(-1), big.NewInt(-128), new(big.Int).Lsh(big.NewInt(1), 159), new(big.Int).Lsh(big.NewInt(0xff), 1000),
	}
	for _, listed := range numbers {
		lists := parse(t, list{authority: ca, entries: []x509.RevocationListEntry{{SerialNumber: listed}}})
		for _, number := range numbers {
			cert := &x509.Certificate{RawIssuer: ca.RawSubject, SerialNumber: number}
			want := crl.Good
			if number == listed {
				want = crl.Revoked
			}
			require.Equal(t, want, lists.Check(chain(cert, ca), now).Status, "%x on a list with %x", number, listed)
		}
	}
}
