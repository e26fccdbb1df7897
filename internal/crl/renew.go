package crl

import (
	"bytes"
	"crypto/x509"
	"slices"
)

// maxUnjudged is how many lists of a scope are kept of which no key is known that has signed them,
// beside those that were fetched last. Together they have at most MaxSize bytes.
const maxUnjudged = 8

// Renew returns what was fetched together with what it may not take the place of. A list that came
// over a network may be outdated or forged, whoever put it there: of each key the newest list that
// it has signed stays, however often an older one comes. Before anything is known of an issuer, the
// newest of its lists stay. Rollback says whether an older list came than one that stays.
//
// What is known of signatures stays known, and is used to check the lists ahead of the first Check.
func Renew(before, fetched *Lists) (lists *Lists, rollback bool) {
	if before == nil {
		return fetched, false
	}
	fetched.adopt(before)
	before.prepare(before)
	fetched.prepare(before)
	all, room := slices.Clone(fetched.all), MaxSize
	for _, scopes := range before.byName {
		for _, old := range scopes {
			unjudged := 0
			for _, l := range old { // the newest first
				beside := scopeOf(all, l)
				if slices.ContainsFunc(beside, l.equal) {
					continue
				}
				if len(l.signers.good()) == 0 {
					if unjudged < maxUnjudged && len(l.signed) <= room {
						all, room = append(all, l), room-len(l.signed)
						unjudged++
					}
					continue
				}
				rivals := slices.DeleteFunc(beside, func(other *list) bool { return !sameKey(l, other) })
				if !slices.ContainsFunc(rivals, func(other *list) bool { return other.compareAge(l) >= 0 }) {
					rollback = rollback || len(rivals) > 0
					all = append(all, l)
				}
			}
		}
	}
	return index(all), rollback
}

// adopt puts the lists of before in the place of those that are the same, with what is known of
// their signatures.
func (l *Lists) adopt(before *Lists) {
	all := slices.Clone(l.all)
	for i, fresh := range all {
		if at := slices.IndexFunc(before.byName[fresh.name], func(s scope) bool { return slices.ContainsFunc(s, fresh.equal) }); at >= 0 {
			same := before.byName[fresh.name][at]
			all[i] = same[slices.IndexFunc(same, fresh.equal)]
		}
	}
	*l = *index(all)
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
