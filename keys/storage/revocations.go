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

// learnRevocation takes up what anything says of a revocation. Where two differ, both hold.
func (k *storedKeys) learnRevocation(v keyRevocation) {
	if !slices.ContainsFunc(k.revocations, func(known keyRevocation) bool { return known.equal(&v) }) {
		k.revocations = append(k.revocations, v)
	}
}

// remember takes up what is known of the keys in use. The storage can have lost some of them, or
// what revoked them, since they were read.
func (k *storedKeys) remember(needs keys.Needs) {
	k.inUse = make(map[string]bool, len(needs.Known))
	for i := range needs.Known {
		k.inUse[needs.Known[i].ID] = true
		if revokes, ok := revocationBy(&needs.Known[i]); ok {
			k.learnRevocation(revokes)
		}
	}
	if signing := keyset.NewSchedule(needs.Known).Signing(needs.Now); signing != nil {
		k.signing = signing.ID
	}
}

// revoke revokes what the revocations name, also those whose own key is gone.
func (k *storedKeys) revoke(records []keys.Timed) {
	for i := range k.revocations {
		keyset.RevokeReplaced(k.revocations[i].record(), records)
	}
}

// hold keeps old keys from beginning to sign while there is an object that nobody can read and that
// could revoke them: the newest key of all that can be read signs then. What signs already goes on.
// Once it is decided which keys may sign, every key that is made says so, and that outlives the object.
func (k *storedKeys) hold(records []keys.Timed) {
	floor := 0
	for _, turn := range k.unread(records) {
		floor = max(floor, turn)
	}
	for i := range records {
		records[i].Suspended = records[i].Turn < floor && records[i].ID != k.signing
	}
}

// unread is of which objects it is not known what they revoke, by kid, and the lowest turn that may
// sign in spite of that.
func (k *storedKeys) unread(records []keys.Timed) map[string]int {
	known := k.known()
	unread := make(map[string]int)
	for _, key := range k.keys {
		for kid, turn := range key.Unread {
			if !known[kid] {
				unread[kid] = max(unread[kid], turn)
			}
		}
	}
	for _, name := range k.damaged {
		kid, _ := splitStoredName(name)
		if _, decided := unread[kid]; !known[kid] && !decided {
			unread[kid] = newest(records)
		}
	}
	return unread
}

// newest is the highest turn of a key that is not revoked, or of any if all are.
func newest(records []keys.Timed) int {
	turn, last := 0, 1
	for i := range records {
		last = max(last, records[i].Turn)
		if records[i].Revoked.IsZero() {
			turn = max(turn, records[i].Turn)
		}
	}
	return cmp.Or(turn, last)
}

// known are the kids of the keys of which it is known what they revoke.
func (k *storedKeys) known() map[string]bool {
	known := maps.Clone(k.inUse)
	if known == nil {
		known = make(map[string]bool)
	}
	for _, v := range k.revocations {
		known[v.By] = true
	}
	for _, key := range k.keys {
		known[key.ID] = true
		for _, kid := range key.Knows {
			known[kid] = true
		}
	}
	return known
}

// look is what a key says that is made now, and replaces others perhaps. It has what is needed and no
// more: a set that rotates for years does not grow.
func (k *storedKeys) look(replaces []string) hindsight {
	oldest := k.lastTurn()
	for _, key := range k.keys {
		oldest = min(oldest, key.Turn)
	}
	all := k.known()
	knows := make(map[string]bool)
	var look hindsight
	for _, key := range k.keys {
		knows[key.ID] = true
	}
	for _, kid := range replaces {
		knows[kid] = kid != keys.ReplacesAll // it may be gone
	}
	for _, v := range k.revocations {
		if v.Turn >= oldest {
			look.Revocations = append(look.Revocations, v)
			knows[v.By] = true
			for _, kid := range v.Replaces {
				knows[kid] = kid != keys.ReplacesAll
			}
		}
	}
	lies := make(map[string]bool) // there, and cannot be read
	for _, name := range k.damaged {
		kid, _ := splitStoredName(name)
		lies[kid] = true
		knows[kid] = knows[kid] || all[kid]
	}
	look.Unread = k.unread(k.all())
	maps.DeleteFunc(look.Unread, func(kid string, turn int) bool { return turn <= oldest && !lies[kid] })
	maps.DeleteFunc(knows, func(_ string, knows bool) bool { return !knows })
	look.Knows = slices.Sorted(maps.Keys(knows))
	return look
}

// lastTurn is the highest turn of all keys, and of those that are gone and have revoked others.
func (k *storedKeys) lastTurn() int {
	last := 0
	for _, key := range k.keys {
		last = max(last, key.Turn)
	}
	for _, v := range k.revocations {
		last = max(last, v.Turn)
	}
	return last
}

// restate stores the copies of revocations that the storage does not have, or not any more. It needs
// no lock: every replica would write the same. What fails is tried again when everything is read again.
func (k *storedKeys) restate(ctx context.Context, listed []string) {
	for _, v := range k.revocations {
		name := k.name(v.By, revokesSuffix)
		if slices.Contains(listed, name) {
			continue // damaged, perhaps, but nothing is ever overwritten
		}
		_, err := k.load(ctx, name) // a storage may list it only later
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		_, there := k.keys[k.name(v.By, keySuffix)]
		lost := k.copies[name] || !there
		object, err := encodeRevocation(v)
		if err == nil {
			err = k.store(ctx, name, object)
		}
		switch {
		case err != nil:
			k.logger.Warn("the copy of a revocation could not be stored; it is tried again", zap.String("keys", k.set), zap.String("kid", v.By), zap.Error(err))
			continue
		case lost:
			k.logger.Warn("the storage has lost a revocation, which is stored again: if a backup was restored, revoke again what was revoked since it was made",
				zap.String("keys", k.set), zap.String("kid", v.By), zap.Strings("replaces", v.Replaces))
		}
		k.copies[name] = true
	}
}

// seek looks once more for a key that seems to be gone: a storage may list it only later.
func (k *storedKeys) seek(ctx context.Context, needs keys.Needs) {
	v, orphan := k.orphan(needs)
	name := k.name(v.By, keySuffix)
	if !orphan || slices.Contains(k.damaged, name) {
		return
	}
	if object, err := k.load(ctx, name); err == nil {
		_ = k.learn(name, object) // if it is damaged, that is said when it is listed
	}
}

// orphan is a revocation whose key is gone, so that no cluster was made to forget what it replaces,
// perhaps.
func (k *storedKeys) orphan(needs keys.Needs) (keyRevocation, bool) {
	for _, v := range k.revocations {
		served := slices.Contains(v.Replaces, keys.ReplacesAll) // what signs then is not known to any
		for _, key := range k.keys {
			served = served || serves(&key.Timed, &v, needs)
		}
		if !served && len(k.keys) > 0 {
			return v, true
		}
	}
	return keyRevocation{}, false
}

// serves reports whether a key makes clusters forget what a revocation names: it is that of the
// revocation, or was made in its place; or it is as young, signs soon, and entered the JWKS only when
// the others had left it. A cluster that has seen it beside them would not read again.
func serves(r *keys.Timed, v *keyRevocation, needs keys.Needs) bool {
	by := v.record()
	switch {
	case r.Turn < v.Turn:
		return false
	case r.Turn == v.Turn:
		return !r.Enters().Before(by.Enters())
	case slices.Equal(r.Replaces, by.Replaces):
		return true
	}
	return !r.Enters().Before(v.Appears) && timing.Reached(r.Begins(), longest(needs))
}

// replacement is a key in the place of one that is gone, and would have replaced others. Like that one,
// it is in no JWKS with a revoked key.
func (k *storedKeys) replacement(gone keyRevocation, needs keys.Needs) keyset.Plan {
	appears := timing.Later(needs.Now.Add(timing.LeadTime(0)), gone.Appears)
	for _, v := range k.revocations {
		if !v.Appears.After(longest(needs)) {
			appears = timing.Later(appears, v.Appears)
		}
	}
	return keyset.Plan{
		Turn:         k.lastTurn() + 1,
		Appears:      appears,
		SignsFrom:    appears.Add(needs.MaxAge + timing.ClockSkew),
		Replaces:     gone.Replaces,
		ReplacesFrom: gone.ReplacesFrom,
	}
}
