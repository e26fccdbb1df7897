package storage

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// past is what an operator did to a set, and what came of it.
type past struct {
	storage *objects
	made    []string // kids, in the order in which they were made
	turns   map[string]int
	by      map[string][]string // the kids that revoke a key
	end     time.Duration
}

// newPast lets an operator rotate and revoke, in an order that follows from the seed.
func newPast(f testing.TB, seed uint64) *past {
	f.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	p := &past{storage: newObjects(), turns: make(map[string]int), by: make(map[string][]string)}
	s := started(f, p.storage)
	look := func() *keyset.Schedule {
		all := asked(f, s, needsAt(p.end))
		var unseen []keys.Timed
		for _, r := range all.Records {
			if _, seen := p.turns[r.ID]; !seen {
				p.turns[r.ID] = r.Turn
				unseen = append(unseen, r)
			}
		}
		// What was made by one question: the key that revokes, and its successor.
		slices.SortFunc(unseen, func(a, b keys.Timed) int { return a.Turn - b.Turn })
		p.made = append(p.made, kids(unseen)...)
		return all
	}
	look()
	for range 1 + random.IntN(4) {
		p.end += time.Duration([...]int{20, 400, 4000, 800 * 3600}[random.IntN(4)]) * time.Second
		all := look()
		needs := needsAt(p.end)
		kid := all.Signing(needs.Now).ID
		if next := all.Successor(all.Signing(needs.Now), needs.Now); next != nil && random.IntN(3) == 0 {
			kid = next.ID
		}
		command := [...]string{"rotate", "revoke", "revoke", "revoke --now", "revoke --all"}[random.IntN(5)]
		if command == "rotate" {
			if _, err := s.Rotate(f.Context(), needs); err != nil {
				require.ErrorIs(f, err, keys.ErrKeyState)
			}
			continue
		}
		r, err := revokers[command](s, f.Context(), kid, needs)
		if err != nil {
			require.ErrorIs(f, err, keys.ErrKeyState)
			continue
		}
		for _, kid := range r.Revoked {
			p.by[kid] = append(p.by[kid], r.Fresh)
		}
	}
	p.end += time.Duration(random.IntN(900)) * time.Second
	look()
	p.end += 15 * time.Minute // until the last of it holds
	return p
}

// happen does something to an object of a set, which a number says.
func (p *past) happen(o *objects, names []string, i int, what byte) {
	name, other := names[i], names[(i+1)%len(names)]
	switch what % 12 {
	case 1:
		damages["gone"](o, name)
	case 2:
		damages["truncated"](o, name)
	case 3:
		damages["empty"](o, name)
	case 4:
		damages["unreadable"](o, name)
	case 5:
		damages["rotten"](o, name)
	case 6:
		damages["of a newer release"](o, name)
	case 7: // swapped with another
		o.held[name], o.held[other] = o.held[other], o.held[name]
	case 8: // in the place of another
		o.held[other] = o.held[name]
	case 9: // twice
		o.held[strings.Replace(name, "/default/", "/default/copy-of-", 1)] = o.held[name]
	case 10: // a bit flipped
		o.held[name] = slices.Clone(o.held[name])
		o.held[name][int(what)*7%len(o.held[name])] ^= 1 << (what % 8)
	}
}

// whole reports whether an object is as it was.
func (p *past) whole(o *objects, name string) bool {
	was, ok := p.storage.held[name]
	return ok && !o.closed[name] && bytes.Equal(o.held[name], was)
}

// tells reports whether something that can be read says that a key is revoked by another: that one, the
// copy, or a key that is younger.
func (p *past) tells(o *objects, by string) bool {
	if p.whole(o, objectName(by, revokesSuffix)) {
		return true
	}
	for _, kid := range p.made[slices.Index(p.made, by):] {
		if p.whole(o, objectName(kid, keySuffix)) {
			return true
		}
	}
	return false
}

// FuzzStoredSets loses, damages, exchanges and duplicates some of the stored objects of a set, and starts
// Caddy: whatever one of them says, a key that was revoked does not sign, as long as anything is left that
// says so; and while something is left that cannot be read, no key signs that is older than the newest
// which can.
func FuzzStoredSets(f *testing.F) {
	pasts := make([]*past, 10)
	for i := range pasts {
		pasts[i] = newPast(f, uint64(i))
		for object := range pasts[i].storage.held {
			at := slices.Index(pasts[i].storage.names(), object)
			for what := range byte(11) {
				f.Add(uint8(i), append(make([]byte, at), what))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		some := make([]byte, 12)
		for i := range some {
			if random.IntN(3) == 0 {
				some[i] = byte(random.Uint32())
			}
		}
		f.Add(uint8(random.UintN(10)), some)
	}

	f.Fuzz(func(t *testing.T, which uint8, some []byte) {
		p := pasts[int(which)%len(pasts)]
		names := p.storage.names()
		storage := p.storage.after(func(o *objects) {
			for i := range min(len(some), len(names)) {
				p.happen(o, names, i, some[i])
			}
		})
		left := storage.after(func(*objects) {})
		s := started(t, storage)
		var err error
		for range patience {
			_, err = keysOf(t, s, needsAt(p.end))
		}
		if err != nil { // nothing is left that could sign, and something that cannot be read
			require.False(t, slices.ContainsFunc(p.made,
				func(kid string) bool { return p.whole(left, objectName(kid, keySuffix)) }), err)
			require.Empty(t, s.folder.records())
			return
		}
		for _, later := range []time.Duration{0, time.Minute, time.Hour, 100 * 24 * time.Hour} {
			now := needsAt(p.end + later)
			signing := asked(t, s, now).Signing(now.Now)
			require.NotNil(t, signing)
			for _, by := range p.by[signing.ID] {
				require.False(t, p.tells(left, by), "%s was revoked by %s and signs", signing.ID, by)
				p.requireNewest(t, left, signing, by)
			}
		}
		require.Less(t, len(storage.held), 2*len(names)+20, "there is no end of new keys")
	})
}

// requireNewest requires of a key that signs, and that was revoked by one of which nothing is left but
// what cannot be read, that no younger one can be read.
func (p *past) requireNewest(t *testing.T, left *objects, signing *keys.Timed, by string) {
	t.Helper()
	_, key := left.held[objectName(by, keySuffix)]
	_, copied := left.held[objectName(by, revokesSuffix)]
	if !key && !copied {
		return // nobody can know
	}
	for _, kid := range p.made {
		if p.turns[kid] > signing.Turn && p.whole(left, objectName(kid, keySuffix)) {
			require.NotEmpty(t, p.by[kid], "%s is younger than %s, which signs", kid, signing.ID)
		}
	}
}
