// Package crl reads certificate revocation lists (RFC 5280 section 5) and says
// whether a certificate of a verified chain is on them.
//
// A list is kept as the bytes that its authority signed, and where in them each
// entry begins, sorted by serial number: 5 MB for 100,000 certificates, without
// a pointer that the garbage collector has to follow. (crypto/x509 takes 31 MB
// beside the list, and ignores critical extensions.) Who signed it cannot be
// told before a certificate of the issuer is at hand, so signatures are checked
// when a chain is, and each once.
//
// What a list is not for is refused when it is read: delta and indirect lists,
// lists of attribute certificates, and critical extensions that this package
// does not know. Read as if they were complete, they would let revoked
// certificates pass. A list for some of an issuer's certificates says nothing of
// the others.
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
	// MaxSize bounds the input; it has room for a million certificates.
	MaxSize = 64 << 20

	// MaxLists bounds how many lists one input has.
	MaxLists = 1000
)

// Lists are revocation lists of any number of authorities. They may be used by
// many goroutines.
type Lists struct {
	all  []*list            // each once
	kept map[*list]struct{} // those of them that are from an earlier fetch, and were not in the last
	// unsafe says that they came from where others may have changed them: of a list that nobody
	// known has signed, nobody can tell whether it is the authority's.
	unsafe bool
	// The scopes of an issuer by its name as lists encode it, and by the name's
	// normal form: the strings of a name may be of other types in the list than
	// in the certificates (RFC 5280 section 7.1).
	byRaw  map[string][]scope
	byName map[string][]scope
}

// scope is the lists of one issuer that replace each other: those with the same
// issuing distribution point. The newest is first.
type scope []*list

// Parse reads one list as DER, or any number of them as PEM (RFC 7468 section
// 6). It refuses the input if anything is wrong with any of them. Signatures
// and times are for Check.
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

// normalName is equal for names that RFC 5280 section 7.1 takes for the same.
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

// Info describes a list, for logs and for whoever asks what is loaded. Nothing
// of it is to be believed before the list was used.
type Info struct {
	Issuer     string   // as Java, and so Elasticsearch, prints names
	Number     *big.Int // RFC 5280 section 5.2.3; nil if there is none
	ThisUpdate time.Time
	NextUpdate time.Time
	Revoked    int // how many certificates are on it
}

// Infos describes the lists in their order.
func (l *Lists) Infos() []Info {
	infos := make([]Info, len(l.all))
	for i, list := range l.all {
		infos[i] = list.info()
	}
	return infos
}
