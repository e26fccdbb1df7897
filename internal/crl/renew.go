package crl

import (
	"bytes"
	"crypto/x509"
	"slices"
)

const (
	// maxUnjudged is how many lists of a scope are kept, beside those that were fetched last, whose
	// signer is not known.
	maxUnjudged = 8

	// maxWithdrawn is how many lists of an issuer are kept whose scope the last fetch did not have.
	maxWithdrawn = 64
)

// Renew returns what was fetched, together with those earlier lists that it does not replace. A list
// that came over a network may be outdated or forged. So of each key, the newest list that it has
// signed stays, however often an older one is fetched:
//
//	before   list 7, signed by the authority
//	fetched  list 6, signed by the authority, or list 8 with a forged signature
//	after    both: list 7 still counts
//
// Before anything is known of an issuer, the newest of its lists stay. Rollback says whether a list
// was fetched that is older than one that stays.
//
// What stays is never more than it was: of a list that nobody in a client's chain has signed, only
// the last fetch counts, so that a forged one is over when the good one is back. A genuine one whose
// scope (its issuing distribution point) is no longer there counts until its nextUpdate, and after
// that for certificates alone that no other list covers.
//
// What is known of signatures stays known, and is used to check the lists ahead of the first Check.
func Renew(before, fetched *Lists) (lists *Lists, rollback bool) {
	if before == nil {
		fetched.unsafe = true
		return fetched, false
	}
	fetched.adopt(before)
	before.prepare(before)
	fetched.prepare(before)
	k := keeper{fetched: fetched.all, room: MaxSize}
	for _, scopes := range before.byName {
		k.withdrawn = 0
		for _, old := range scopes {
			k.unjudged = 0
			for _, l := range old { // the newest first
				k.consider(l)
			}
		}
	}
	lists = index(fetched.all, k.kept)
	lists.unsafe = true
	return lists, k.rollback
}

// keeper decides which lists of before stay beside those that were fetched.
type keeper struct {
	fetched, kept       []*list
	unjudged, withdrawn int
	room                int // bytes for those that nobody may need any more
	rollback            bool
}

func (k *keeper) consider(l *list) {
	fetched := scopeOf(k.fetched, l)
	sameSigner := func(other *list) bool { return sameKey(l, other) }
	asNew := func(other *list) bool { return sameKey(l, other) && other.compareAge(l) >= 0 }
	switch {
	case slices.ContainsFunc(fetched, l.equal):
	case len(l.signers.good()) == 0:
		if k.unjudged < maxUnjudged && k.take(l) {
			k.unjudged++
		}
	case slices.ContainsFunc(fetched, asNew), slices.ContainsFunc(scopeOf(k.kept, l), asNew):
	case slices.ContainsFunc(fetched, sameSigner):
		k.rollback = true
		k.kept = append(k.kept, l)
	default:
		if k.withdrawn < maxWithdrawn && k.take(l) {
			k.withdrawn++
		}
	}
}

// take keeps a list if there is room.
func (k *keeper) take(l *list) bool {
	if len(l.signed) > k.room {
		return false
	}
	k.kept, k.room = append(k.kept, l), k.room-len(l.signed)
	return true
}

// adopt puts the lists of before in the place of those that are the same, with what is known of
// their signatures.
func (l *Lists) adopt(before *Lists) {
	all := slices.Clone(l.all)
	for i, fresh := range all {
		for _, s := range before.byName[fresh.name] {
			if at := slices.IndexFunc(s, fresh.equal); at >= 0 {
				all[i] = s[at]
				break
			}
		}
	}
	*l = *index(all, nil)
}

// scopeOf returns those of some lists that replace a list, or are replaced by it.
func scopeOf(all []*list, l *list) []*list {
	var scope []*list
	for _, other := range all {
		if other.name == l.name && bytes.Equal(other.point.raw, l.point.raw) {
			scope = append(scope, other)
		}
	}
	return scope
}

// sameKey reports whether two lists are known to be signed with the same key.
func sameKey(l, other *list) bool {
	return slices.ContainsFunc(l.signers.good(), func(issuer *x509.Certificate) bool {
		good, _ := other.signers.get(issuer)
		return good
	})
}
