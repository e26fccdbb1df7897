package crl

import (
	"bytes"
	"crypto/x509"
	"slices"
)

const (
	// maxUnverified is how many lists that no known key has signed are kept of a scope, beside those of
	// the last fetch.
	maxUnverified = 8

	// maxWithdrawn is how many lists of an issuer are kept whose scope the last fetch did not have.
	maxWithdrawn = 64
)

// Renew returns the fetched lists, together with the earlier ones that they do not replace. A list that
// came over a network may be outdated or forged. So for each key, the newest list that it has signed
// is kept, however often an older one is fetched:
//
//	before   list 7, signed by the authority
//	fetched  list 6, signed by the authority, or list 8 with a forged signature
//	after    both: list 7 still counts
//
// While no certificate of an issuer is known, its newest lists are kept. Rollback says whether a
// fetched list is older than one that is kept.
//
// Some kept lists count for less than fetched ones, so that a list that was forged or withdrawn does not
// refuse clients for ever:
//
//   - Check ignores a kept list that no known key has signed.
//   - If the last fetch had no list of its scope (its issuing distribution point), a kept list counts
//     until its nextUpdate. After that, it counts only for certificates that no other list covers.
//
// The new lists are checked with the certificates that have signed the earlier ones, so that the first
// Check need not do it.
func Renew(before, fetched *Lists) (lists *Lists, rollback bool) {
	if before == nil {
		fetched.untrusted = true
		return fetched, false
	}
	fetched.adopt(before)
	before.prepare(before)
	fetched.prepare(before)
	k := keeper{fetched: fetched.all, room: MaxSize}
	for _, scopes := range before.byName {
		k.withdrawn = 0
		for _, old := range scopes {
			k.unverified = 0
			for _, l := range old { // the newest first
				k.add(l)
			}
		}
	}
	lists = index(fetched.all, k.kept)
	lists.untrusted = true
	return lists, k.rollback
}

// keeper decides which earlier lists are kept beside the fetched ones.
type keeper struct {
	fetched, kept         []*list
	unverified, withdrawn int
	room                  int // how many bytes are left for lists that are unverified or withdrawn
	rollback              bool
}

// add keeps an earlier list if the fetched ones and those that are kept already do not replace it.
func (k *keeper) add(l *list) {
	fetched := scopeOf(k.fetched, l)
	sameSigner := func(other *list) bool { return sameKey(l, other) }
	asNew := func(other *list) bool { return sameKey(l, other) && other.compareAge(l) >= 0 }
	switch {
	case slices.ContainsFunc(fetched, l.equal):
	case len(l.signers.good()) == 0:
		if k.unverified < maxUnverified && k.keepIfRoom(l) {
			k.unverified++
		}
	case slices.ContainsFunc(fetched, asNew), slices.ContainsFunc(scopeOf(k.kept, l), asNew):
	case slices.ContainsFunc(fetched, sameSigner):
		k.rollback = true
		k.kept = append(k.kept, l)
	default:
		if k.withdrawn < maxWithdrawn && k.keepIfRoom(l) {
			k.withdrawn++
		}
	}
}

func (k *keeper) keepIfRoom(l *list) bool {
	if len(l.signed) > k.room {
		return false
	}
	k.kept, k.room = append(k.kept, l), k.room-len(l.signed)
	return true
}

// adopt replaces each list that is also in before by that one, which knows its signers already.
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

// scopeOf returns the lists that have the same scope as l.
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
