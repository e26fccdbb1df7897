package crl_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

func TestInputAsItComes(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	l := list{authority: ca, entries: revoked(5)}
	block := bundle(t, l)
	tests := map[string]struct {
		data []byte
		want int
	}{
		"DER":                       {l.der(t), 1},
		"PEM":                       {block, 1},
		"PEM with carriage returns": {bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n")), 1},
		"PEM after a byte order mark": {
			append([]byte("\ufeff"), block...), 1,
		},
		"PEM after and before text": {
			append(append([]byte("Certificate Revocation List (CRL):\n  Version 2\n"), block...), "\n# end\n"...), 1,
		},
		"PEM of several": {bundle(t, l, list{authority: ca}, list{authority: ca, number: 2}), 3},
		"without end of line": {
			bytes.TrimSpace(block), 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lists, err := crl.Parse(tt.data)
			require.NoError(t, err)
			require.Len(t, lists.Infos(), tt.want)
		})
	}
}

func TestParseKeepsNothingOfItsInput(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	der := list{authority: ca, entries: revoked(5)}.der(t)
	lists, err := crl.Parse(der)
	require.NoError(t, err)
	clear(der)
	require.Equal(t, crl.Revoked, lists.Check(chain(ca.client(t, 5), ca), now).Status)
}

func TestInfos(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	lists := parse(t,
		list{authority: ca, number: 12, entries: append(revoked(5, 6, 5), revokedFor(8, 9)...)},
		list{authority: newAuthority(t, "Other", nil), v1: true})
	want := []crl.Info{
		{
			Issuer: "CN=CA, O=Acme", Number: big.NewInt(12), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
			Revoked: 2,
		},
		{Issuer: "CN=Other, O=Acme", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)},
	}
	require.Equal(t, want, lists.Infos())
	require.Zero(t, lists.SignersKnown())
	lists.Check(chain(ca.client(t, 7), ca), now)
	require.Equal(t, 1, lists.SignersKnown())
}

// The new list is checked in advance with the issuers that are known from the old one.
func TestRenewChecksSignaturesAhead(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	before := parse(t, list{authority: ca})
	renew := func(next list) *crl.Lists {
		lists, _ := crl.Renew(before, parse(t, next))
		return lists
	}
	require.Zero(t, renew(list{authority: ca, number: 2}).SignersKnown(), "nothing is known yet")
	before.Check(chain(ca.client(t, 5), ca), now)
	require.Equal(t, 1, renew(list{authority: ca, number: 2}).SignersKnown())
	forged := renew(list{authority: ca, number: 2, forged: true})
	require.Equal(t, 1, forged.SignersKnown(), "only the one of before, which stays")
	require.Equal(t, crl.Good, forged.Check(chain(ca.client(t, 5), ca), now).Status)
}

func TestParseRefuses(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	good := list{authority: ca, entries: revoked(5)}
	der, block := good.der(t), bundle(t, good)
	with := func(change func(*list)) []byte {
		l := good
		change(&l)
		return l.der(t)
	}
	extension := func(id asn1.ObjectIdentifier, critical bool) []pkix.Extension {
		return []pkix.Extension{{Id: id, Critical: critical, Value: []byte{2, 1, 1}}}
	}
	entry := func(exts ...pkix.Extension) func(*list) {
		return func(l *list) { l.entries = revoked(4, 5); l.entries[1].ExtraExtensions = exts }
	}
	raw := func(entries string) func(*list) {
		return func(l *list) { l.entries, l.rawEntries = nil, []byte(entries) }
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	const utcTime = "\x17\x0d260101000000Z"

	tests := map[string]struct {
		data []byte
		want string
	}{
		"nothing": {nil, "it is empty: put the authority's list there"},
		"blanks":  {[]byte(" \r\n"), "it is empty"},
		"UTF-16": {
			[]byte("\xff\xfe-\x00-\x00"), "it is UTF-16, as Windows tools write it: save it as UTF-8",
		},
		"a web page":           {[]byte("\n<!DOCTYPE html><html>404"), "it is a web page"},
		"text":                 {[]byte("not found"), "it is neither DER nor PEM"},
		"base64 alone":         {bytes.Join(bytes.Split(block, []byte("\n"))[1:3], nil), "it is neither DER nor PEM"},
		"a certificate":        {ca.Raw, "it is a certificate, not a revocation list"},
		"a certificate in PEM": {certificate, "it is a certificate, not a revocation list"},
		"a list under the label of a certificate": {
			bytes.ReplaceAll(block, []byte("X509 CRL"), []byte("CERTIFICATE")), "write -----BEGIN X509 CRL-----",
		},
		"a certificate beside": {
			append(bytes.Clone(block), certificate...), "it is a certificate, not a revocation list",
		},
		"a key": {
			[]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), `it has a PEM block "PRIVATE KEY"`,
		},
		"PEM that is cut off": {block[:len(block)-40], "a PEM block in it is damaged"},
		"a damaged block of two": {
			append(bytes.Replace(block, []byte("\nM"), []byte("\n*"), 1), block...), "a PEM block in it is damaged",
		},
		"DER that is cut off": {der[:len(der)-1], "its DER is cut off or damaged: is it complete?"},
		"a few bytes of DER":  {der[:3], "its DER is cut off or damaged"},
		"bytes after DER":     {append(bytes.Clone(der), '\n'), "1 bytes follow the list"},
		"two lists in DER":    {append(bytes.Clone(der), der...), "bytes follow the list: write several lists as PEM"},
		"other DER": {
			append([]byte{0x30, 0x81, 0x80}, make([]byte, 128)...), "its DER is not a CertificateList",
		},
		"PEM with other DER": {
			[]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"), "its DER is not a CertificateList",
		},
		"PEM without DER": {[]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"), "its DER is cut off"},
		"the second of two": {
			append(bytes.Clone(block), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der[:9]})...),
			"revocation list 2 of 2: its DER is cut off",
		},
		"too much": {make([]byte, crl.MaxSize+1), "more than 67108864"},
		"too many": {
			bytes.Repeat([]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"), crl.MaxLists+1),
			"more than 1000 lists",
		},
		"bytes after the signature": {wrap(t, der, 0x05, 0x00), "its DER is not a CertificateList"},

		"an unknown version": {
			bytes.Replace(der, []byte{2, 1, 1}, []byte{2, 1, 2}, 1), "its DER is not a CertificateList",
		},
		"two signature algorithms": {
			bytes.Replace(der, []byte{0x04, 0x03, 0x02}, []byte{0x04, 0x03, 0x03}, 1),
			"its header cannot be read: x509: inner and outer",
		},
		"an unknown signature algorithm": {
			with(func(l *list) { l.algorithm = asn1.ObjectIdentifier{1, 2, 3} }), "an algorithm that crypto/x509 does not know",
		},
		"SHA-1": {
			with(func(l *list) { l.algorithm = oidECDSAWithSHA1 }), "it is signed with ECDSA-SHA1, which is not safe any more",
		},
		"an issuer without a name": {
			with(func(l *list) { l.rawIssuer = []byte{0x30, 0} }), "its issuer cannot be read: the name is empty",
		},
		"an issuer that is no name": {
			with(func(l *list) { l.rawIssuer = []byte{0x30, 2, 5, 0} }), "its header cannot be read",
		},
		"no next update": {
			with(func(l *list) { l.noNext = true }), "it does not say when the next one is due",
		},
		"the next update before this one": {
			with(func(l *list) { l.nextUpdate = -2 * time.Hour }),
			"its next update (2026-03-04T03:06:07Z) is not after this one",
		},

		"a delta list": {
			with(func(l *list) { l.exts = extension(asn1.ObjectIdentifier{2, 5, 29, 27}, true) }), "it is a delta list",
		},
		"a delta list that plays it down": {
			with(func(l *list) { l.exts = extension(asn1.ObjectIdentifier{2, 5, 29, 27}, false) }), "it is a delta list",
		},
		"an unknown critical extension": {
			with(func(l *list) { l.exts = extension(asn1.ObjectIdentifier{1, 2, 3}, true) }),
			"it has the critical extension 1.2.3, which is unknown here",
		},
		"an extension twice": {with(func(l *list) {
			l.exts = append(extension(asn1.ObjectIdentifier{1, 2, 3}, false),
				extension(asn1.ObjectIdentifier{1, 2, 3}, false)...)
		}), "it has the extension 1.2.3 twice"},
		"an indirect list":                 {with(func(l *list) { l.exts = point(4) }), "it is an indirect list"},
		"a list of attribute certificates": {with(func(l *list) { l.exts = point(5) }), "it is for attribute certificates"},
		"a list of no reasons": {
			with(func(l *list) { l.exts = reasons(0x80) }), "its issuing distribution point is malformed",
		},
		"for clients and authorities only": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("\x30\x06\x81\x01\xff\x82\x01\xff"))} }),
			"its issuing distribution point is malformed",
		},
		"an unknown flag": {
			with(func(l *list) { l.exts = point(6) }), "its issuing distribution point is malformed",
		},
		"a flag of two bytes": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("\x30\x04\x81\x02\xff\xff"))} }),
			"its issuing distribution point is malformed",
		},
		"a distribution point that is none": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("x"))} }),
			"its issuing distribution point is malformed",
		},
		"one with bytes behind it": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("\x30\x00\x00"))} }),
			"its issuing distribution point is malformed",
		},
		"one with names that are none": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("\x30\x06\xa0\x04\xa0\x02\x86\x09"))} }),
			"its issuing distribution point is malformed",
		},
		"one with more than names": {
			with(func(l *list) { l.exts = []pkix.Extension{rawPoint([]byte("\x30\x06\xa0\x04\xa0\x00\x05\x00"))} }),
			"its issuing distribution point is malformed",
		},
		"an entry of another authority": {
			with(entry(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true})),
			"its entry 2: it is an indirect list",
		},
		"an entry with a critical extension": {
			with(entry(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true})),
			"its entry 2: it has the critical extension 1.2.3",
		},
		"an entry with a malformed reason": {
			with(entry(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 21}, Value: []byte{2, 1, 1}})),
			"its entry 2: its reason is malformed",
		},
		"an entry with two reasons": {
			with(entry(revokedFor(8, 1)[0].ExtraExtensions[0], revokedFor(1, 1)[0].ExtraExtensions[0])),
			"its entry 2: its reason is malformed",
		},
		"an entry that is a number": {
			with(raw("\x02\x01\x05")), "its entry 1: it is not a serial number and a date",
		},
		"an entry without a date": {
			with(raw("\x30\x03\x02\x01\x05")), "its entry 1: it is not a serial number and a date",
		},
		"an entry without a number": {
			with(raw("\x30\x0f" + utcTime)), "its entry 1: it is not a serial number and a date",
		},
		"a number without digits": {
			with(raw("\x30\x11\x02\x00" + utcTime)), "its entry 1: it is not a serial number and a date",
		},
		"a number with too many digits": {
			with(raw("\x30\x13\x02\x02\x00\x05" + utcTime)), "its entry 1: it is not a serial number and a date",
		},
		"a negative one with too many": {
			with(raw("\x30\x13\x02\x02\xff\x85" + utcTime)), "its entry 1: it is not a serial number and a date",
		},
		"an entry with something behind": {
			with(raw("\x30\x14\x02\x01\x05" + utcTime + "\x05\x00")), "its entry 1: after the date is what should not be there",
		},
		"an entry with malformed extensions": {
			with(raw("\x30\x16\x02\x01\x05" + utcTime + "\x30\x02\x05\x00")), "its entry 1: it has a malformed extension",
		},
		"an entry with a malformed critical": {
			with(raw("\x30\x1e\x02\x01\x05" + utcTime + "\x30\x0a\x30\x08\x06\x01\x80\x01\x01\xff\x04\x00")),
			"its entry 1: it has a malformed extension",
		},
		"version 1 with extensions": {
			with(func(l *list) { l.v1 = true; l.entries = revokedFor(1, 5) }),
			"its entry 1: after the date is what should not be there",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lists, err := crl.Parse(tt.data)
			require.ErrorContains(t, err, "revocation list")
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, lists)
			require.Less(t, len(err.Error()), 500)
		})
	}
}

// wrap appends to the content of a SEQUENCE.
func wrap(t testing.TB, der []byte, more ...byte) []byte {
	t.Helper()
	var outer asn1.RawValue
	_, err := asn1.Unmarshal(der, &outer)
	require.NoError(t, err)
	outer.FullBytes, outer.Bytes = nil, append(outer.Bytes, more...)
	der, err = asn1.Marshal(outer)
	require.NoError(t, err)
	return der
}

// Parts of a list that do not matter.
func TestParseAccepts(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	harmless := []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 18}, Value: []byte{0x30, 0}},                 // issuerAltName
		{Id: asn1.ObjectIdentifier{2, 5, 29, 46}, Value: []byte{0x30, 0}},                 // freshestCRL
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 1}, Value: []byte{2, 1, 0}}, // Microsoft's CA version
	}
	entry := revokedFor(1, 5)
	entry[0].ExtraExtensions = append(entry[0].ExtraExtensions,
		pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 24}, Critical: true, Value: []byte("\x18\x0f20260101000000Z")},
		pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 23}, Value: []byte{6, 1, 1}})
	for name, l := range map[string]list{
		"extensions of the list":     {authority: ca, exts: harmless, entries: revoked(5)},
		"extensions of an entry":     {authority: ca, entries: entry},
		"no entries, but their list": {authority: ca, rawEntries: []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			lists := parse(t, l)
			require.Equal(t, len(l.entries), lists.Infos()[0].Revoked)
			require.Equal(t, len(l.entries) > 0, lists.Check(chain(ca.client(t, 5), ca), now).Status == crl.Revoked)
		})
	}
}

// The authority of testdata was made with OpenSSL 3.0, its lists with
// `openssl ca -gencrl`: see testdata/make.sh.
func TestListsOfOpenSSL(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/" + name)
		require.NoError(t, err)
		return data
	}
	certificate := func(name string) *x509.Certificate {
		block, _ := pem.Decode(read(name))
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		return cert
	}
	ca := certificate("ca.pem")
	for _, file := range []string{"v1.pem", "v2.pem", "v2.der"} {
		lists, err := crl.Parse(read(file))
		require.NoError(t, err, file)
		info := lists.Infos()[0]
		require.Equal(t, "CN=Users, O=Acme", info.Issuer)
		require.Equal(t, 2, info.Revoked)
		for client, want := range map[string]string{
			"good.pem": "", "held.pem": "certificateHold",
			"stolen.pem": "keyCompromise",
		} {
			verdict := lists.Check([]*x509.Certificate{certificate(client), ca}, info.ThisUpdate)
			if want != "" && strings.HasPrefix(file, "v1") {
				want = "unspecified"
			}
			require.Equal(t, want, verdict.Reason, "%s on %s", client, file)
			require.Equal(t, want != "", verdict.Status == crl.Revoked)
		}
	}
}

// many returns a list of n certificates with serial numbers of 16 bytes.
func many(t testing.TB, ca *authority, n int) list {
	t.Helper()
	entries := make([]x509.RevocationListEntry, n)
	for i := range entries {
		entries[i] = revokedFor(i%2, 0)[0]
		entries[i].SerialNumber = serialNumber(i)
	}
	return list{authority: ca, entries: entries}
}

func serialNumber(i int) *big.Int {
	n := bytes.Repeat([]byte{0x5a}, 16)
	binary.BigEndian.PutUint32(n[12:], uint32(i))
	return new(big.Int).SetBytes(n)
}

func TestManyEntries(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	lists := parse(t, many(t, ca, 10_000))
	require.Equal(t, 10_000, lists.Infos()[0].Revoked)
	cert := &x509.Certificate{RawIssuer: ca.RawSubject}
	for i := range 20_000 {
		cert.SerialNumber = serialNumber(i)
		if revoked := lists.Check(chain(cert, ca), now).Status == crl.Revoked; revoked != (i < 10_000) {
			t.Fatalf("certificate %d", i)
		}
	}
}

func BenchmarkParse100000(b *testing.B) {
	der := many(b, newAuthority(b, "CA", nil), 100_000).der(b)
	b.Run("this", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := crl.Parse(der); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("crypto-x509", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := x509.ParseRevocationList(der); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	root := newAuthority(b, "Root", nil)
	users := newAuthority(b, "Users", root)
	certs := chain(users.client(b, 5), users, root)
	l := many(b, users, 100_000)
	for name, lists := range map[string]*crl.Lists{
		"none":     new(crl.Lists),
		"of100000": parse(b, l, list{authority: root}),
		"others":   parse(b, list{authority: newAuthority(b, "Other", nil)}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if lists.Check(certs, now).Status != crl.Good {
					b.Fatal("not good")
				}
			}
		})
	}
	// With the signature, which is checked once.
	der := l.der(b)
	b.Run("first-of100000", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			lists, err := crl.Parse(der)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if lists.Check(certs, now).Status != crl.Good {
				b.Fatal("not good")
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	ca := newAuthority(f, "CA", nil)
	f.Add(list{authority: ca, entries: revokedFor(6, 5), number: 3, exts: point(1, "http://ca/1.crl")}.der(f))
	f.Add(list{authority: ca, v1: true, entries: revoked(5, 6)}.der(f))
	f.Add(bundle(f, list{authority: ca}, list{authority: ca, entries: revokedFor(8, 5)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := crl.Parse(data)
		if err != nil {
			require.Nil(t, lists)
			require.ErrorContains(t, err, "revocation list")
			return
		}
		cert := &x509.Certificate{RawIssuer: ca.RawSubject, SerialNumber: big.NewInt(5)}
		lists.Check(chain(cert, ca), now)
		again, err := crl.Parse(data)
		require.NoError(t, err)
		again, rollback := crl.Renew(lists, again)
		require.False(t, rollback)
		require.Len(t, again.Infos(), len(lists.Infos()), "the same lists are there once")
		if data[0] == 0x30 {
			compare(t, data, lists.Infos()[0])
		}
	})
}

// compare requires that crypto/x509 reads the same, unless it refuses the list.
func compare(t *testing.T, der []byte, info crl.Info) {
	t.Helper()
	theirs, err := x509.ParseRevocationList(der)
	if err != nil {
		return
	}
	revoked := map[string]bool{}
	for _, e := range theirs.RevokedCertificateEntries {
		if e.ReasonCode != 8 {
			revoked[e.SerialNumber.String()] = true
		}
	}
	require.Len(t, revoked, info.Revoked)
	require.True(t, theirs.ThisUpdate.Equal(info.ThisUpdate))
	require.True(t, theirs.NextUpdate.Equal(info.NextUpdate))
	require.Equal(t, theirs.Number, info.Number)
}

// Lists with good signatures, so that the fuzzer gets to their contents.
func FuzzContents(f *testing.F) {
	ca := newAuthority(f, "CA", nil)
	client := ca.client(f, 5, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://ca/1.crl"} })
	const date = "\x17\x0d260101000000Z"
	f.Add([]byte("\x30\x12\x02\x01\x05"+date), point(1, "http://ca/1.crl")[0].Value)
	f.Add([]byte("\x30\x20\x02\x01\x05"+date+"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x08"),
		point(2)[0].Value)
	f.Fuzz(func(t *testing.T, entries, point []byte) {
		if len(entries)+len(point) > 1000 {
			return
		}
		der := list{authority: ca, rawEntries: entries, exts: []pkix.Extension{rawPoint(point)}}.der(t)
		lists, err := crl.Parse(der)
		if err != nil {
			return
		}
		compare(t, der, lists.Infos()[0])
		verdict := lists.Check(chain(client, ca), now)
		require.Contains(t, []crl.Status{crl.Good, crl.Uncovered, crl.Revoked}, verdict.Status)
		theirs, err := x509.ParseRevocationList(der)
		if err != nil {
			return
		}
		revoked := false
		for _, e := range theirs.RevokedCertificateEntries {
			revoked = revoked || e.ReasonCode != 8 && e.SerialNumber.Cmp(client.SerialNumber) == 0
		}
		require.Equal(t, revoked, verdict.Status == crl.Revoked)
	})
}
