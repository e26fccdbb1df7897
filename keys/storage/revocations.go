package storage

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// addRevocation adds a revocation to those that are known. If two differ, both hold.
func (f *folder) addRevocation(v revocation) {
	if !slices.ContainsFunc(f.revocations, func(known revocation) bool { return known.equal(&v) }) {
		f.revocations = append(f.revocations, v)
	}
}

// remember takes over what the set knows. Since the set has read its keys, the storage can have lost some of them, or
// of the keys that revoked them.
func (f *folder) remember(needs keys.Needs) {
	f.inUse = make(map[string]bool, len(needs.Known))
	for i := range needs.Known {
		f.inUse[needs.Known[i].ID] = true
		if v, ok := revocationBy(&needs.Known[i]); ok {
			f.addRevocation(v)
		}
	}
	if signing := keyset.NewSchedule(needs.Known).Signing(needs.Now); signing != nil {
		f.signing = signing.ID
	}
}

// revoke revokes the keys that revocations name, even if the key that revokes them is gone.
func (f *folder) revoke(records []keys.Timed) {
	for i := range f.revocations {
		keyset.RevokeReplaced(f.revocations[i].record(), records)
	}
}

// suspend suspends the keys that an object which cannot be read could revoke, so that none of them begins to sign. The
// key that signs already goes on.
//
// For example, A signs and B is its successor. A replica starts and cannot read the object of C, which could revoke A.
// It suspends A, and signs with B, the newest key that it could read. When it makes the key D, that says so, and
// whoever reads D suspends A as well, even if the object of C has gone.
func (f *folder) suspend(records []keys.Timed) {
	lowest := 0
	for _, turn := range f.unread(records) {
		lowest = max(lowest, turn)
	}
	for i := range records {
		records[i].Suspended = records[i].Turn < lowest && records[i].ID != f.signing
	}
}

// unread returns the kids of the objects of which it is not known what they revoke, each with the lowest turn that may
// sign in spite of that.
func (f *folder) unread(records []keys.Timed) map[string]int {
	known := f.knownKids()
	unread := make(map[string]int)
	for _, key := range f.keys {
		for kid, turn := range key.Unread {
			if !known[kid] {
				unread[kid] = max(unread[kid], turn)
			}
		}
	}
	for _, name := range f.damaged {
		kid, _ := splitName(name)
		if _, decided := unread[kid]; !known[kid] && !decided {
			unread[kid] = newestTurn(records)
		}
	}
	return unread
}

// newestTurn returns the highest turn of the keys that are not revoked, or if all are, of all keys.
func newestTurn(records []keys.Timed) int {
	turn, last := 0, 1
	for i := range records {
		last = max(last, records[i].Turn)
		if records[i].Revoked.IsZero() {
			turn = max(turn, records[i].Turn)
		}
	}
	return cmp.Or(turn, last)
}

// knownKids returns the kids of the keys of which it is known what they revoke.
func (f *folder) knownKids() map[string]bool {
	known := maps.Clone(f.inUse)
	if known == nil {
		known = make(map[string]bool)
	}
	for _, v := range f.revocations {
		known[v.By] = true
	}
	for _, key := range f.keys {
		known[key.ID] = true
		for _, kid := range key.Knows {
			known[kid] = true
		}
	}
	return known
}

// historyFor returns the history of a key that is made now, and replaces the given keys. It leaves out what nobody
// needs any more, so that the objects of a set do not grow when it rotates for years.
func (f *folder) historyFor(replaces []string) history {
	oldest := f.lastTurn()
	for _, key := range f.keys {
		oldest = min(oldest, key.Turn)
	}
	var h history
	knows := make(map[string]bool)
	for _, key := range f.keys {
		knows[key.ID] = true
	}
	for _, kid := range replaces {
		knows[kid] = true // its object may be gone
	}
	for _, v := range f.revocations {
		if v.Turn >= oldest {
			h.Revocations = append(h.Revocations, v)
			knows[v.By] = true
			for _, kid := range v.Replaces {
				knows[kid] = true
			}
		}
	}
	delete(knows, keys.ReplacesAll)

	known := f.knownKids()
	isThere := make(map[string]bool) // kids of objects that are in the storage, and cannot be read
	for _, name := range f.damaged {
		kid, _ := splitName(name)
		isThere[kid] = true
		if known[kid] {
			knows[kid] = true
		}
	}
	h.Knows = slices.Sorted(maps.Keys(knows))
	h.Unread = f.unread(f.records())
	maps.DeleteFunc(h.Unread, func(kid string, turn int) bool { return turn <= oldest && !isThere[kid] })
	return h
}

// lastTurn returns the highest turn of all keys, among them those that have revoked others and are gone.
func (f *folder) lastTurn() int {
	last := 0
	for _, key := range f.keys {
		last = max(last, key.Turn)
	}
	for _, v := range f.revocations {
		last = max(last, v.Turn)
	}
	return last
}

// storeCopies stores the copies of revocations that are not in the storage, or not any more. It needs no lock, since
// all replicas write the same. If it fails, it is tried again when the objects are read again.
func (f *folder) storeCopies(ctx context.Context, listed []string) {
	for _, v := range f.revocations {
		name := f.name(v.By, revokesSuffix)
		if slices.Contains(listed, name) {
			continue // it may be damaged, but nothing is ever overwritten
		}
		_, err := f.load(ctx, name) // some storages list a new object only later
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		_, keyIsThere := f.keys[f.name(v.By, keySuffix)]
		lost := f.copies[name] || !keyIsThere
		object, err := encodeRevocation(v)
		if err == nil {
			err = f.store(ctx, name, object)
		}
		switch {
		case err != nil:
			f.logger.Warn("the copy of a revocation could not be stored; it is tried again",
				zap.String("keys", f.set), zap.String("kid", v.By), zap.Error(err))
			continue
		case lost:
			f.logger.Warn("the storage has lost a revocation, which is stored again: "+
				"if a backup was restored, revoke again what was revoked since it was made",
				zap.String("keys", f.set), zap.String("kid", v.By), zap.Strings("replaces", v.Replaces))
		}
		f.copies[name] = true
	}
}

// loadUnlisted loads the key of a revocation if it is missing and was not listed. Some storages list a new object only
// later.
func (f *folder) loadUnlisted(ctx context.Context, needs keys.Needs) {
	v, missing := f.unfulfilled(needs)
	name := f.name(v.By, keySuffix)
	if !missing || slices.Contains(f.damaged, name) {
		return
	}
	if object, err := f.load(ctx, name); err == nil {
		_ = f.decode(name, object) // if it is damaged, read says so once it is listed
	}
}

// unfulfilled returns a revocation for which there is no key that makes clusters forget the revoked keys; ok is false
// if there is none. The key of such a revocation is lost, and another must be made: see planLost.
func (f *folder) unfulfilled(needs keys.Needs) (v revocation, ok bool) {
	if len(f.keys) == 0 {
		return revocation{}, false
	}
	for _, v := range f.revocations {
		fulfilled := slices.Contains(v.Replaces, keys.ReplacesAll) // the key that signs after it is new to every cluster
		for _, key := range f.keys {
			fulfilled = fulfilled || fulfills(&key.Timed, &v, needs)
		}
		if !fulfilled {
			return v, true
		}
	}
	return revocation{}, false
}

// fulfills reports whether a key makes clusters forget the keys that a revocation names. A cluster forgets them when
// it meets the key, provided that it has not seen the key in a JWKS beside them. So the key is one of these:
//   - that of the revocation, or one of its turn that appears no earlier
//   - one that was made in its place, and replaces the same keys
//   - one that signs soon, and appears only when the revoked keys have left the JWKS
func fulfills(r *keys.Timed, v *revocation, needs keys.Needs) bool {
	by := v.record()
	switch {
	case r.Turn < v.Turn:
		return false
	case r.Turn == v.Turn:
		return !r.Enters().Before(by.Enters())
	case slices.Equal(r.Replaces, v.Replaces):
		return true
	}
	return !r.Enters().Before(v.Appears) && timing.Reached(r.Begins(), latestWithdrawal(needs))
}

// planLost plans a key in the place of one that is lost, and replaces what that one replaced. No JWKS has it beside
// any revoked key.
func (f *folder) planLost(lost revocation, needs keys.Needs) keyset.Plan {
	appears := timing.Later(needs.Now.Add(timing.LeadTime(0)), lost.Appears)
	for _, v := range f.revocations {
		if !v.Appears.After(latestWithdrawal(needs)) {
			appears = timing.Later(appears, v.Appears)
		}
	}
	return keyset.Plan{
		Turn:         f.lastTurn() + 1,
		Appears:      appears,
		SignsFrom:    appears.Add(needs.MaxAge + timing.ClockSkew),
		Replaces:     lost.Replaces,
		ReplacesFrom: lost.ReplacesFrom,
	}
}
