// Package crl reads certificate revocation lists (RFC 5280 section 5) and checks
// whether a certificate of a verified chain is on them.
//
// A list is kept as the bytes that its authority signed, together with the place
// of each entry in them, sorted by serial number. That takes 5 MB for 100,000
// certificates, and has no pointers that the garbage collector has to follow.
// (crypto/x509 takes 31 MB beside the list, and ignores critical extensions.)
//
// A list does not contain the certificate of its signer. So its signature is
// checked together with the first chain that has such a certificate, and not when
// the list is parsed. The result is remembered.
//
// Parse refuses lists that would let revoked certificates pass if they were read
// as complete lists: delta lists, indirect lists, lists of attribute certificates,
// and those with a critical extension that this package does not know. A list that
// covers only some certificates of its issuer is fine: the others are Uncovered.
package crl

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

const (
	// MaxSize is how many bytes an input can have. That is enough for a million certificates.
	MaxSize = 64 << 20

	// MaxLists is how many lists an input can have.
	MaxLists = 1000
)

// Lists are revocation lists of any number of authorities. They may be used by
// many goroutines.
type Lists struct {
	all  []*list            // each once
	kept map[*list]struct{} // those of an earlier fetch that are not in the last one
	// untrusted says that the lists came over a network, where others may have changed them. Then a list
	// that no known key has signed may be forged.
	untrusted bool
	// The scopes of an issuer, by its name as lists encode it, and by the normal form of the name. A name
	// can have other string types in the list than in the certificates (RFC 5280 section 7.1).
	byRaw  map[string][]scope
	byName map[string][]scope
}

// scope has the lists of one issuer that have the same issuing distribution point, so that a newer one
// replaces an older one. The newest is first.
type scope []*list

// Parse reads one list as DER, or any number of them as PEM (RFC 7468 section
// 6). It refuses the whole input if anything is wrong with one of them. Check, not
// Parse, looks at signatures and times.
func Parse(data []byte) (*Lists, error) {
	encoded, err := split(data)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	all := make([]*list, len(encoded))
	for i, der := range encoded {
		if all[i], err = parseList(der); err != nil && len(encoded) > 1 {
			return nil, fmt.Errorf("revocation list %d of %d: %w", i+1, len(encoded), err)
		} else if err != nil {
			return nil, fmt.Errorf("revocation list: %w", err)
		}
	}
	return index(all, nil), nil
}

// index makes Lists of the lists of the last fetch and those that are kept of earlier ones.
func index(fetched, kept []*list) *Lists {
	all := slices.Concat(fetched, kept)
	l := &Lists{
		all:    all,
		kept:   make(map[*list]struct{}, len(kept)),
		byRaw:  map[string][]scope{},
		byName: map[string][]scope{},
	}
	newestFirst := slices.SortedStableFunc(slices.Values(all), func(a, b *list) int { return b.compareAge(a) })
	for _, next := range newestFirst {
		scopes := l.byName[next.name]
		i := slices.IndexFunc(scopes, func(s scope) bool { return bytes.Equal(s[0].point.raw, next.point.raw) })
		if i < 0 {
			l.byName[next.name] = append(scopes, scope{next})
		} else {
			scopes[i] = append(scopes[i], next)
		}
	}
	for _, old := range kept {
		l.kept[old] = struct{}{}
	}
	for _, next := range all {
		l.byRaw[string(next.rawIssuer)] = l.byName[next.name]
	}
	return l
}

func (l *Lists) isKept(one *list) bool {
	_, kept := l.kept[one]
	return kept
}

// of returns the lists of an issuer.
func (l *Lists) of(rawIssuer []byte) []scope {
	if scopes, ok := l.byRaw[string(rawIssuer)]; ok || len(l.byName) == 0 {
		return scopes
	}
	name, err := normalName(rawIssuer)
	if err != nil {
		return nil // no list can have this name: Parse would have refused it
	}
	return l.byName[name]
}

// normalName returns the normal form of a name. It is the same for names that are
// the same according to RFC 5280 section 7.1.
func normalName(der []byte) (string, error) {
	name, err := x500.Parse(der)
	if err != nil {
		return "", err
	}
	normal, err := x500.Normalize(name.RFC2253())
	if err == nil && normal == "" {
		return "", errors.New("the name is empty")
	}
	return normal, err
}

// Info describes a list, for logs. The signature of the list may not have been
// checked.
type Info struct {
	Issuer     string   // as Java, and so Elasticsearch, prints names
	Number     *big.Int // RFC 5280 section 5.2.3; nil if there is none
	ThisUpdate time.Time
	NextUpdate time.Time
	Revoked    int // the number of certificates on it
}

// Infos describes the lists, in the order in which they were parsed.
func (l *Lists) Infos() []Info {
	infos := make([]Info, len(l.all))
	for i, list := range l.all {
		infos[i] = list.info()
	}
	return infos
}
