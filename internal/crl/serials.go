package crl

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// serials is the set of revoked certificates: a hash table with open addressing
// of places in the list.
type serials struct {
	entries []byte   // the content of revokedCertificates
	slots   []uint32 // the place of an entry, plus one; 0 is a free slot
	count   int
	seed    maphash.Seed
}

// entry is one of the revokedCertificates (RFC 5280 section 5.1.2.6).
type entry struct {
	serial []byte // the INTEGER with its tag
	reason reason
}

// readSerials makes the set. Version 1 has no extensions.
func readSerials(entries []byte, v1 bool) (serials, error) {
	s := serials{entries: entries, seed: maphash.MakeSeed()}
	var places []uint32
	rest := cryptobyte.String(entries)
	for number := 1; !rest.Empty(); number++ {
		place := uint32(len(entries) - len(rest)) //nolint:gosec // MaxSize is less than 2^32
		e, err := readEntry(&rest, v1)
		if err != nil {
			return serials{}, fmt.Errorf("its entry %d: %w", number, err)
		}
		if e.reason != removeFromCRL {
			places = append(places, place)
		}
	}
	if len(places) == 0 {
		return s, nil
	}
	// At most half full.
	s.slots = make([]uint32, 1<<bits.Len(uint(2*len(places)-1)))
	for _, place := range places {
		s.insert(place)
	}
	return s, nil
}

func (s *serials) insert(place uint32) {
	slot, found := s.search(s.at(place).serial)
	if !found {
		s.slots[slot] = place + 1
		s.count++
	}
}

// search returns the slot of a serial number, or the one where it would be.
func (s *serials) search(serial []byte) (slot int, found bool) {
	mask := len(s.slots) - 1
	slot = int(maphash.Bytes(s.seed, serial)) & mask //nolint:gosec // any bits will do
	for s.slots[slot] != 0 {
		if bytes.Equal(s.at(s.slots[slot]-1).serial, serial) {
			return slot, true
		}
		slot = (slot + 1) & mask
	}
	return slot, false
}

// at reads an entry that was read before.
func (s *serials) at(place uint32) entry {
	rest := cryptobyte.String(s.entries[place:])
	e, _ := readEntry(&rest, false)
	return e
}

// find returns the reason for which a certificate was revoked, if it was.
func (s *serials) find(number *big.Int) (why reason, revoked bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	var b cryptobyte.Builder
	b.AddASN1BigInt(number)
	slot, found := s.search(b.BytesOrPanic())
	if !found {
		return 0, false
	}
	return s.at(s.slots[slot] - 1).reason, true
}

// readEntry reads the next entry. Its date does not matter: who is on the list
// is revoked now.
func readEntry(rest *cryptobyte.String, v1 bool) (entry, error) {
	var body, serial, exts cryptobyte.String
	if !rest.ReadASN1(&body, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&serial, cbasn1.INTEGER) || !isMinimal(serial) ||
		!isTime(body) || !readAny(&body, new(cryptobyte.String)) {
		return entry{}, errors.New("it is not a serial number and a date")
	}
	e := entry{serial: serial}
	if body.Empty() {
		return e, nil
	}
	if v1 || !body.ReadASN1(&exts, cbasn1.SEQUENCE) || !body.Empty() {
		return entry{}, errors.New("after the date is what should not be there")
	}
	return e, e.readExtensions(exts)
}

// isMinimal demands the one encoding of a number that DER has, since numbers
// are compared as bytes.
func isMinimal(integer cryptobyte.String) bool {
	var n cryptobyte.String
	if !integer.ReadASN1(&n, cbasn1.INTEGER) || len(n) == 0 {
		return false
	}
	return len(n) == 1 || n[0] != 0 && n[0] != 0xff || (n[0]^n[1])&0x80 != 0
}
