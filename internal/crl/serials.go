package crl

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// serials is the set of revoked certificates. For each, it has the place where its
// entry begins in the list, in the order of compareSerials. That takes four bytes
// of memory for each certificate, beside the list itself.
type serials struct {
	entries []byte // the content of revokedCertificates
	places  []uint32
}

// readSerials reads the entries of a list. In a list of version 1, they can have no
// extensions.
func readSerials(entries []byte, v1 bool) (serials, error) {
	s := serials{entries: entries}
	rest := cryptobyte.String(entries)
	for number := 1; !rest.Empty(); number++ {
		place := uint32(len(entries) - len(rest)) //nolint:gosec // MaxSize is less than 2^32
		why, err := readEntry(&rest, v1)
		if err != nil {
			return serials{}, fmt.Errorf("its entry %d: %w", number, err)
		}
		if why != removeFromCRL {
			s.places = append(s.places, place)
		}
	}
	s.sort()
	return s, nil
}

// sort sorts the places. If there are several entries for a certificate, it keeps
// only the first one.
func (s *serials) sort() {
	// Reading the tail from the list for each comparison would take five times as
	// long.
	type sortable struct {
		tail  uint64
		place uint32
	}
	all := make([]sortable, len(s.places))
	for i, place := range s.places {
		all[i] = sortable{tail(s.serialAt(place)), place}
	}
	compare := func(a, b sortable) int {
		if a.tail != b.tail {
			return cmp.Compare(a.tail, b.tail)
		}
		return bytes.Compare(s.serialAt(a.place), s.serialAt(b.place))
	}
	slices.SortFunc(all, func(a, b sortable) int {
		if c := compare(a, b); c != 0 {
			return c
		}
		return cmp.Compare(a.place, b.place)
	})
	all = slices.CompactFunc(all, func(a, b sortable) bool { return compare(a, b) == 0 })
	s.places = make([]uint32, len(all))
	for i := range all {
		s.places[i] = all[i].place
	}
}

// compareSerials compares two serial numbers, each an INTEGER in DER, by their last
// eight bytes and then by all of them. Authorities count serial numbers or draw
// them at random, so the last bytes nearly always differ.
func compareSerials(a, b []byte) int {
	return cmp.Or(cmp.Compare(tail(a), tail(b)), bytes.Compare(a, b))
}

// tail returns the last eight bytes of a serial number, as a number.
func tail(serial []byte) uint64 {
	var last [8]byte
	copy(last[max(0, len(last)-len(serial)):], serial[max(0, len(serial)-len(last)):])
	return binary.BigEndian.Uint64(last[:])
}

// serialAt returns the serial number of the entry at a place, with its tag.
func (s *serials) serialAt(place uint32) []byte {
	rest := cryptobyte.String(s.entries[place:])
	var body, serial cryptobyte.String
	_ = rest.ReadASN1(&body, cbasn1.SEQUENCE) && body.ReadASN1Element(&serial, cbasn1.INTEGER)
	return serial
}

// find returns the reason for which a certificate was revoked, if it was.
func (s *serials) find(number *big.Int) (why reason, revoked bool) {
	var b cryptobyte.Builder
	b.AddASN1BigInt(number)
	i, found := slices.BinarySearchFunc(s.places, b.BytesOrPanic(), func(place uint32, serial []byte) int {
		return compareSerials(s.serialAt(place), serial)
	})
	if !found {
		return 0, false
	}
	rest := cryptobyte.String(s.entries[s.places[i]:])
	why, _ = readEntry(&rest, false) // readSerials has seen that it can be read
	return why, true
}

// count returns the number of certificates in the set.
func (s *serials) count() int { return len(s.places) }

// readEntry reads the next entry of revokedCertificates (RFC 5280 section 5.1.2.6),
// and returns its reason. Its date does not matter: a certificate on the list is
// revoked now.
func readEntry(rest *cryptobyte.String, v1 bool) (reason, error) {
	var body, serial, exts cryptobyte.String
	if !rest.ReadASN1(&body, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&serial, cbasn1.INTEGER) || !isMinimal(serial) ||
		!isTime(body) || !readAny(&body, new(cryptobyte.String)) {
		return 0, errors.New("it is not a serial number and a date")
	}
	if body.Empty() {
		return 0, nil
	}
	if v1 || !body.ReadASN1(&exts, cbasn1.SEQUENCE) || !body.Empty() {
		return 0, errors.New("after the date is what should not be there")
	}
	return readReason(exts)
}

// isMinimal reports whether a number is encoded as DER demands, without bytes that
// could be left out. Serial numbers are compared as bytes.
func isMinimal(integer cryptobyte.String) bool {
	var n cryptobyte.String
	if !integer.ReadASN1(&n, cbasn1.INTEGER) || len(n) == 0 {
		return false
	}
	return len(n) == 1 || n[0] != 0 && n[0] != 0xff || (n[0]^n[1])&0x80 != 0
}
