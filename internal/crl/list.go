package crl

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// list is one CertificateList.
type list struct {
	signed    []byte // the tbsCertList with its tag
	signature []byte
	algorithm x509.SignatureAlgorithm

	rawIssuer  []byte
	name       string // the normal form of the issuer's name
	number     *big.Int
	thisUpdate time.Time
	nextUpdate time.Time
	point      distributionPoint
	serials    serials
	signers    signers
}

// parts has the fields of a CertificateList (RFC 5280 section 5.1). Each begins
// with its tag, except revoked.
type parts struct {
	signed, outerAlgorithm, signature               cryptobyte.String
	algorithm, issuer, thisUpdate, nextUpdate, exts cryptobyte.String
	revoked                                         cryptobyte.String
	v1                                              bool
}

func parseList(der []byte) (*list, error) {
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(der, &whole)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its DER is cut off or damaged: is it complete? (%w)", err)
	case len(rest) > 0:
		return nil, fmt.Errorf("%d bytes follow the list: write several lists as PEM", len(rest))
	}
	var p parts
	if !p.read(der) {
		if _, err := x509.ParseCertificate(der); err == nil {
			return nil, errCertificate
		}
		return nil, errors.New("its DER is not a CertificateList (RFC 5280 section 5.1)")
	}
	header, err := p.header()
	if err != nil {
		return nil, err
	}
	l := &list{
		signed:     bytes.Clone(p.signed), // so as not to keep the whole input in memory
		signature:  header.Signature,
		algorithm:  header.SignatureAlgorithm,
		rawIssuer:  header.RawIssuer,
		number:     header.Number,
		thisUpdate: header.ThisUpdate,
		nextUpdate: header.NextUpdate,
		signers:    signers{known: map[string]signer{}},
	}
	if err := l.checkHeader(); err != nil {
		return nil, err
	}
	if l.point, err = checkExtensions(header.Extensions, header.RawIssuer); err != nil {
		return nil, err
	}
	// The entries have the same place in the copy.
	end := len(p.signed) - len(p.exts)
	if l.serials, err = readSerials(l.signed[end-len(p.revoked):end], p.v1); err != nil {
		return nil, err
	}
	return l, nil
}

// read reads the fields of a list. It returns false if it is malformed.
func (p *parts) read(der cryptobyte.String) bool {
	var body, tbs cryptobyte.String
	ok := der.ReadASN1(&body, cbasn1.SEQUENCE) && der.Empty() &&
		body.ReadASN1Element(&p.signed, cbasn1.SEQUENCE) &&
		body.ReadASN1Element(&p.outerAlgorithm, cbasn1.SEQUENCE) &&
		body.ReadASN1Element(&p.signature, cbasn1.BIT_STRING) && body.Empty()
	signed := p.signed
	if !ok || !signed.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return false
	}
	// Version 1 has no version field. `openssl ca -gencrl` writes version 1 unless
	// it has to add extensions.
	p.v1 = !tbs.PeekASN1Tag(cbasn1.INTEGER)
	var version int
	if !p.v1 && (!tbs.ReadASN1Integer(&version) || version != 1) {
		return false
	}
	return tbs.ReadASN1Element(&p.algorithm, cbasn1.SEQUENCE) &&
		tbs.ReadASN1Element(&p.issuer, cbasn1.SEQUENCE) &&
		isTime(tbs) && readAny(&tbs, &p.thisUpdate) &&
		(!isTime(tbs) || readAny(&tbs, &p.nextUpdate)) &&
		tbs.ReadOptionalASN1(&p.revoked, new(bool), cbasn1.SEQUENCE) &&
		(tbs.Empty() || !p.v1 && tbs.ReadASN1Element(&p.exts, cbasn1.Tag(0).Constructed().ContextSpecific())) &&
		tbs.Empty()
}

func isTime(s cryptobyte.String) bool {
	return s.PeekASN1Tag(cbasn1.UTCTime) || s.PeekASN1Tag(cbasn1.GeneralizedTime)
}

func readAny(s, out *cryptobyte.String) bool {
	var tag cbasn1.Tag
	return s.ReadAnyASN1Element(out, &tag)
}

// header reads everything but the entries. It builds the same list without entries
// and lets crypto/x509 parse it, which knows the signature algorithms, names and
// times.
func (p *parts) header() (*x509.RevocationList, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1) // crypto/x509 knows version 2 only
			for _, element := range []cryptobyte.String{p.algorithm, p.issuer, p.thisUpdate, p.nextUpdate, p.exts} {
				b.AddBytes(element)
			}
		})
		b.AddBytes(p.outerAlgorithm)
		b.AddBytes(p.signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	header, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("its header cannot be read: %w", err)
	}
	return header, nil
}

// checkHeader refuses lists that Check could not use.
func (l *list) checkHeader() error {
	// The signature is checked by crypto/x509, with every algorithm that it knows. It still allows SHA-1
	// for lists, though not for certificates. But with SHA-1, two lists with the same signature can be made.
	switch l.algorithm {
	case x509.UnknownSignatureAlgorithm:
		return errors.New("it is signed with an algorithm that crypto/x509 does not know: " +
			"have the authority sign as it signs its certificates")
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Errorf("it is signed with %s, which is not safe any more: "+
			"have the authority sign with SHA-2", l.algorithm)
	default:
	}
	var err error
	switch l.name, err = normalName(l.rawIssuer); {
	case err != nil:
		return fmt.Errorf("its issuer cannot be read: %w", err)
	case l.nextUpdate.IsZero():
		return errors.New("it does not say when the next one is due (nextUpdate, RFC 5280 section 5.1.2.5), " +
			"so that nobody could tell when it is out of date: have the authority issue it with a date")
	case !l.nextUpdate.After(l.thisUpdate):
		return fmt.Errorf("its next update (%s) is not after this one (%s)",
			l.nextUpdate.Format(time.RFC3339), l.thisUpdate.Format(time.RFC3339))
	}
	return nil
}

// compareAge is positive if l is newer than o.
func (l *list) compareAge(o *list) int {
	if c := l.thisUpdate.Compare(o.thisUpdate); c != 0 || l.number == nil || o.number == nil {
		return cmp.Or(c, 0)
	}
	return l.number.Cmp(o.number)
}

func (l *list) equal(o *list) bool {
	return l == o || bytes.Equal(l.signature, o.signature) && bytes.Equal(l.signed, o.signed)
}

func (l *list) info() Info {
	issuer, _ := x500.Parse(l.rawIssuer) // checkHeader has seen that it can be read
	return Info{
		Issuer:     issuer.String(),
		Number:     l.number,
		ThisUpdate: l.thisUpdate,
		NextUpdate: l.nextUpdate,
		Revoked:    l.serials.count(),
	}
}
