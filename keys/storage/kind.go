package storage

import (
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// warnOfKind logs a warning if the key that signs is not of the kind that is configured, and says from when such a key
// signs. It does so once for each key.
func (s *Source) warnOfKind(all *keyset.Schedule, now time.Time) {
	signing := all.Signing(now)
	if signing == nil || signing.ID == s.warnedOf || s.isAsConfigured(signing) {
		return
	}
	s.warnedOf = signing.ID
	rotations, from := s.takesEffect(all, signing, now)
	s.logger.Warn("the key that signs is not of the algorithm and size that are configured, "+
		"which are for keys that are yet to be made: it takes "+count(rotations)+" until one of them signs; "+
		"to hurry, run `caddy elasticsearch-jwt rotate "+s.folder.set+"` as often, with a few minutes in between",
		zap.String("keys", s.folder.set), zap.String("signing", kindOf(signing.Key)), zap.String("configured", s.kind()),
		zap.Int("rotations", rotations), logfield.Time("from", from))
}

// takesEffect returns after how many rotations a key of the configured kind signs, and from when; the zero time if
// rotate_every is never.
func (s *Source) takesEffect(
	all *keyset.Schedule, signing *keys.Timed, now time.Time,
) (rotations int, from time.Time) {
	last := signing
	for next := all.Successor(last, now); next != nil; next = all.Successor(last, now) {
		rotations++
		if s.isAsConfigured(next) {
			return rotations, next.Begins()
		}
		last = next
	}
	if begins := last.Begins(); !begins.IsZero() && s.every() != 0 {
		from = begins.Add(s.every()) // it is made when the last of them begins to sign
	}
	return rotations + 1, from
}

// count returns a number of rotations as text.
func count(rotations int) string {
	if rotations == 1 {
		return "1 rotation"
	}
	return fmt.Sprint(rotations, " rotations")
}

func (s *Source) isAsConfigured(r *keys.Timed) bool { return kindOf(r.Key) == s.kind() }

// kind returns the kind of key that is configured. The kind of a key is what kindOf returns.
func (s *Source) kind() string {
	if strings.HasPrefix(s.Algorithm, "ES") {
		return s.Algorithm
	}
	return fmt.Sprintf("%s with %d bits", s.Algorithm, s.KeySize)
}

// kindOf returns the algorithm of a key, and of an RSA key the size too.
func kindOf(key *keys.Key) string {
	if public, ok := key.Public.Key.(*rsa.PublicKey); ok {
		return fmt.Sprintf("%s with %d bits", key.Algorithm, public.N.BitLen())
	}
	return string(key.Algorithm)
}
