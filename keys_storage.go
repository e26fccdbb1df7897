package esjwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(StorageKeys))
}

// StorageKeys makes and rotates the keys of a set in Caddy's storage, so that a cluster shares
// them through whatever storage it already uses.
//
// Each key is one object, elasticsearch_jwt/<set>/<kid>.json, which is written once and never
// changed. There is always a published successor to the key that signs, so that a rotation
// never signs with a key that some cache cannot know yet.
type StorageKeys struct {
	// The algorithm: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512.
	// A realm must allow it (allowed_signature_algorithms, which is [RS256] unless set).
	// A changed algorithm is that of the next successor. Default: RS256.
	Algorithm string `json:"algorithm,omitempty"`

	// The size of an RSA key in bits: 2048, 3072 or 4096. Default: 2048.
	KeySize int `json:"key_size,omitempty"`

	// How long a key signs; -1 means until it is rotated by hand ("never" in a Caddyfile).
	// Default: 720h. At least 1h.
	RotateEvery caddy.Duration `json:"rotate_every,omitempty"`

	// How long a key stays in the JWKS after the last token that it signed has expired.
	// Default: 1h.
	RetireAfter caddy.Duration `json:"retire_after,omitempty"`

	set       string
	storage   certmagic.Storage
	logger    *zap.Logger
	algorithm jose.SignatureAlgorithm

	mu      sync.Mutex
	records map[string]KeyRecord // what was read, by its place in the storage: it never changes
	marks   map[string]storedMark

	wasRead  bool // everything was, once
	halfRead int  // how often in a row some of it was not

	compared  string                // the key that was last found not to be as configured
	complaint atomic.Pointer[error] // what is wrong with some of the stored keys, the others go on
}

// rotateNever is the setting rotate_every of a set that is rotated by hand alone.
const rotateNever = -1

// CaddyModule returns the Caddy module information.
func (*StorageKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.storage",
		New: func() caddy.Module { return new(StorageKeys) },
	}
}

// Provision checks the settings and fills in the defaults. It touches no storage.
func (s *StorageKeys) Provision(ctx caddy.Context) error {
	s.storage = ctx.Storage()
	s.logger = ctx.Logger()
	s.records = make(map[string]KeyRecord)
	s.marks = make(map[string]storedMark)
	if err := s.check(); err != nil {
		return err
	}
	s.setDefaults()
	return nil
}

// check checks the settings. What is left out has a default, which is fine.
func (s *StorageKeys) check() error {
	if s.Algorithm != "" {
		if _, err := parseAlgorithm(s.Algorithm, asymmetricAlgorithms); err != nil {
			return inSetting("algorithm", err)
		}
	}
	switch {
	case s.KeySize == 0:
	case strings.HasPrefix(s.Algorithm, "ES"):
		return inSetting("key_size", fmt.Errorf("it is for RSA keys, and the curve of %s has one size: leave it out", s.Algorithm))
	case s.KeySize != 2048 && s.KeySize != 3072 && s.KeySize != 4096:
		return inSetting("key_size", fmt.Errorf("use 2048, 3072 or 4096, not %d", s.KeySize))
	}
	if every := time.Duration(s.RotateEvery); every != 0 && every != rotateNever && every < minRotateEvery {
		return inSetting("rotate_every", fmt.Errorf("use at least %s, so that every cache has seen a key before it signs, or never; not %s", short(minRotateEvery), short(every)))
	}
	if s.RetireAfter < 0 {
		return inSetting("retire_after", fmt.Errorf("it cannot be negative, and is %s", short(time.Duration(s.RetireAfter))))
	}
	return nil
}

// setDefaults fills in what was left out of good settings.
func (s *StorageKeys) setDefaults() {
	setDefault(&s.Algorithm, string(jose.RS256))
	s.algorithm = jose.SignatureAlgorithm(s.Algorithm)
	if s.KeySize == 0 {
		s.KeySize = minRSABits
	}
	if s.RotateEvery == 0 {
		s.RotateEvery = caddy.Duration(defaultRotateEvery)
	}
	if s.RetireAfter == 0 {
		s.RetireAfter = caddy.Duration(defaultRetireAfter)
	}
}

func (s *StorageKeys) setName(name string) { s.set = name }

// Public implements [KeySource].
func (*StorageKeys) Public() bool { return true }

func (s *StorageKeys) folder() string { return path.Join("elasticsearch_jwt", s.set) }

// where names the storage in an error. A storage that cannot name itself could show its
// password.
func (s *StorageKeys) where() string {
	if named, ok := s.storage.(fmt.Stringer); ok {
		return "the storage " + named.String()
	}
	return fmt.Sprintf("the storage %T", s.storage)
}

// Keys implements [KeySource]: it reads the stored keys and makes those that are missing.
func (s *StorageKeys) Keys(ctx context.Context, needs KeyNeeds) ([]KeyRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	records, err := s.read(ctx, needs)
	if err != nil {
		return records, err
	}
	if _, missing := s.missing(records, needs); missing {
		records, err = s.create(ctx, needs)
	}
	if err == nil {
		s.compare(newSchedule(records, time.Time{}), needs.Now)
	}
	return records, err
}

// missing says which key to make next.
func (s *StorageKeys) missing(records []KeyRecord, needs KeyNeeds) (keyPlan, bool) {
	return newSchedule(records, time.Time{}).plan(needs.Now, s.every(), leadTime(needs.MaxAge))
}

// every is how long a key signs, or zero where that is for a person to say.
func (s *StorageKeys) every() time.Duration {
	if s.RotateEvery == rotateNever {
		return 0
	}
	return time.Duration(s.RotateEvery)
}

// checkNeeds checks that keys do not rotate faster than every cache can know them.
func (s *StorageKeys) checkNeeds(needs KeyNeeds) error {
	if lead := leadTime(needs.MaxAge); s.every() != 0 && s.every() < lead {
		return fmt.Errorf("%s is too long for the key set %s, which has rotate_every %s: a key signs once every cache must know it, after %s; use a shorter max_age, or a longer rotate_every",
			short(needs.MaxAge), s.set, short(s.every()), short(lead))
	}
	return nil
}

// compare logs, once for each key that signs, that it is not of the kind that is configured, and
// when one is.
func (s *StorageKeys) compare(all *schedule, now time.Time) {
	signing := all.signing(now)
	if signing == nil || signing.ID == s.compared || s.isAsConfigured(signing) {
		return
	}
	s.compared = signing.ID
	rotations, from := s.takesEffect(all, signing, now)
	fields := []zap.Field{
		zap.String("keys", s.set),
		zap.String("signing", kindOf(signing.Key)),
		zap.String("configured", s.kind()),
		zap.Int("rotations", rotations),
	}
	if !from.IsZero() {
		fields = append(fields, zap.Time("from", from))
	}
	s.logger.Warn("the key that signs is not of the algorithm and size that are configured: that takes so many rotations; "+
		"to hurry, run `caddy elasticsearch-jwt rotate "+s.set+"` as often, with a few minutes in between", fields...)
}

// takesEffect is after how many rotations a key of the kind that is configured signs, and from
// when; the zero time if that is for a person to say.
func (s *StorageKeys) takesEffect(all *schedule, signing *KeyRecord, now time.Time) (rotations int, from time.Time) {
	last := signing
	for next := all.successor(last, now); next != nil; next = all.successor(last, now) {
		rotations++
		if s.isAsConfigured(next) {
			return rotations, next.begins()
		}
		last = next
	}
	if begins := last.begins(); !begins.IsZero() && s.every() != 0 {
		from = begins.Add(s.every()) // it is made when the last one begins to sign
	}
	return rotations + 1, from
}

func (s *StorageKeys) isAsConfigured(r *KeyRecord) bool { return kindOf(r.Key) == s.kind() }

// kind is what kind of key is configured, as kindOf has it.
func (s *StorageKeys) kind() string {
	if strings.HasPrefix(s.Algorithm, "ES") {
		return s.Algorithm
	}
	return fmt.Sprintf("%s with %d bits", s.Algorithm, s.KeySize)
}

// kindOf is the algorithm of a key, and the size if it is an RSA key.
func kindOf(key *Key) string {
	if public, ok := key.public.Key.(*rsa.PublicKey); ok {
		return fmt.Sprintf("%s with %d bits", key.Algorithm, public.N.BitLen())
	}
	return string(key.Algorithm)
}

// create makes the missing keys.
func (s *StorageKeys) create(ctx context.Context, needs KeyNeeds) (records []KeyRecord, err error) {
	err = s.withLock(ctx, func() error {
		records, err = s.fill(ctx, needs)
		return err
	})
	if records == nil {
		records = s.atHand(needs)
	}
	return records, err
}

// withLock does something while no other replica does. A lock that breaks does no harm: records
// are only ever added, and of two keys for one turn every replica signs with the same one.
func (s *StorageKeys) withLock(ctx context.Context, do func() error) error {
	lock := "elasticsearch_jwt_" + s.set
	if err := s.storage.Lock(ctx, lock); err != nil {
		return failed(lockFailed, fmt.Errorf("locking %s to make a key: make it reachable and writable for Caddy: %w", s.where(), err))
	}
	defer func() {
		if err := s.storage.Unlock(context.WithoutCancel(ctx), lock); err != nil {
			s.logger.Warn("the lock for making keys could not be released", zap.Error(err))
		}
	}()
	return do()
}

// fill makes keys until none is missing.
func (s *StorageKeys) fill(ctx context.Context, needs KeyNeeds) ([]KeyRecord, error) {
	for {
		records, err := s.read(ctx, needs)
		if err != nil {
			return records, err
		}
		plan, missing := s.missing(records, needs)
		if !missing {
			return s.forget(ctx, records, needs), nil
		}
		if _, err := s.make(ctx, plan, needs); err != nil {
			return records, err
		}
	}
}

// forget deletes the keys that retired long ago, and returns the others. No token of theirs can be
// good any more, and no cluster needs to hear of them.
func (s *StorageKeys) forget(ctx context.Context, records []KeyRecord, needs KeyNeeds) []KeyRecord {
	all := newSchedule(records, time.Time{})
	young := all.lastTurn() - keepTurns
	return slices.DeleteFunc(slices.Clone(all.records), func(r KeyRecord) bool {
		retired := all.retires(&r)
		if retired.IsZero() || needs.Now.Sub(retired) < forgetAfter || r.Turn > young {
			return false
		}
		// The key is the last to go: marks without their key say nothing.
		for _, kind := range []string{promotedSuffix, revokedSuffix, keySuffix} {
			name := path.Join(s.folder(), r.ID+kind)
			if err := s.storage.Delete(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.logger.Warn("a key that retired long ago could not be deleted", zap.String("kid", r.ID), zap.Error(err))
				return false
			}
			delete(s.records, name)
			delete(s.marks, name)
		}
		return true
	})
}

// make makes one key and stores it.
func (s *StorageKeys) make(ctx context.Context, plan keyPlan, needs KeyNeeds) (KeyRecord, error) {
	private, err := s.generate()
	if err != nil {
		return KeyRecord{}, fmt.Errorf("generating a key: %w", err)
	}
	key, err := NewKey(s.algorithm, private)
	if err != nil {
		return KeyRecord{}, err
	}
	record := KeyRecord{
		Key:       key,
		Turn:      plan.turn,
		Created:   needs.Now.UTC().Truncate(time.Second),
		SignsFrom: plan.signsFrom.UTC().Truncate(time.Second),
		Appears:   plan.appears.UTC().Truncate(time.Second),
		Replaces:  strings.Join(plan.replaces, " "),
		Grace:     s.grace(needs),
	}
	object, err := encodeStoredKey(record, private)
	if err != nil {
		return KeyRecord{}, err
	}
	name := path.Join(s.folder(), key.ID+keySuffix)
	if err := s.storage.Store(ctx, name, object); err != nil {
		return KeyRecord{}, failed(storageNotWritable, fmt.Errorf("storing a new key under %s in %s: make it writable for Caddy: %w", s.folder(), s.where(), err))
	}
	s.records[name] = record // a storage may list it only later
	return record, nil
}

// grace is how long a key stays published once it does not sign any more. A configuration that
// only publishes the set does not know how long the tokens of the others live.
func (s *StorageKeys) grace(needs KeyNeeds) time.Duration {
	lifetime := needs.Lifetime
	if lifetime == 0 {
		lifetime = maxLifetime
	}
	return lifetime + time.Duration(s.RetireAfter)
}

// generate makes a private key.
func (s *StorageKeys) generate() (any, error) {
	switch s.algorithm {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		return rsa.GenerateKey(rand.Reader, s.KeySize)
	}
}

// read reads what is stored and not known yet. What cannot be read is an error that names the
// object; it is never overwritten, and the other keys go on.
func (s *StorageKeys) read(ctx context.Context, needs KeyNeeds) ([]KeyRecord, error) {
	names, err := s.storage.List(ctx, s.folder(), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.atHand(needs), failed(storageUnreachable, fmt.Errorf("listing %s in %s: make it reachable and readable for Caddy: %w", s.folder(), s.where(), err))
	}
	var errs, unread []error
	for _, name := range names {
		if s.has(name) {
			continue
		}
		object, err := s.storage.Load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // forgotten by another replica in the meantime
		}
		if err != nil {
			unread = append(unread, failed(storageUnreachable, fmt.Errorf("loading %s from %s: make it reachable and readable for Caddy: %w", name, s.where(), err)))
			continue
		}
		if err := s.learn(name, object); err != nil {
			errs = append(errs, failed(keyUnusable, fmt.Errorf("%s in %s is not usable: restore it from a backup, or remove it if no cluster needs its key any more: %w", name, s.where(), err)))
		}
	}
	if len(unread) == 0 {
		s.halfRead = 0
	} else if s.halfRead++; s.halfRead < patience {
		return s.atHand(needs), errors.Join(unread...)
	}
	s.wasRead = true
	errs = append(errs, unread...)
	records := s.known(needs)
	if len(errs) == 0 {
		s.complaint.Store(nil)
	}
	if len(errs) > 0 && newSchedule(records, time.Time{}).signing(needs.Now) != nil {
		// There is a key to go on with, and making its successor must not wait for a
		// person to look at the others.
		s.complain(errors.Join(errs...))
		return records, nil
	}
	return records, errors.Join(errs...)
}

// patience is how often in a row some of what is stored may not be readable before the rest must
// do. It takes as long as a storage needs to come back, and not so long that one object that Caddy
// may not read keeps it from serving.
const patience = 5

// atHand returns what was read so far: nothing, before everything was read once. Some of the keys
// may be old ones, and to sign with those, or to publish only those, is worse than to wait.
func (s *StorageKeys) atHand(needs KeyNeeds) []KeyRecord {
	if !s.wasRead {
		return nil
	}
	return s.known(needs)
}

// complain logs what is wrong with some of the stored keys, once.
func (s *StorageKeys) complain(err error) {
	if last := s.complaint.Swap(&err); last == nil || (*last).Error() != err.Error() {
		s.logger.Error("some stored keys cannot be used; the others go on", zap.String("keys", s.set), zap.Error(err))
	}
}

// lacking is what is wrong with some of the stored keys, while the others go on.
func (s *StorageKeys) lacking() error {
	if err := s.complaint.Load(); err != nil {
		return *err
	}
	return nil
}

// has reports whether an object is known already, or none of ours.
func (s *StorageKeys) has(name string) bool {
	if _, kind := splitStoredName(name); kind == "" {
		return true
	}
	_, key := s.records[name]
	_, mark := s.marks[name]
	return key || mark
}

// learn takes up a stored object.
func (s *StorageKeys) learn(name string, object []byte) error {
	kid, kind := splitStoredName(name)
	if kind != keySuffix {
		mark, err := decodeStoredMark(name, object)
		if err == nil {
			s.marks[name] = mark
		}
		return err
	}
	record, err := decodeStoredKey(object)
	if err != nil {
		return err
	}
	if record.ID != kid {
		return fmt.Errorf("it holds the key %s", record.ID)
	}
	s.records[name] = record
	return nil
}

// known returns what was read so far. A token of this configuration may live longer than those
// of the one that made the key.
func (s *StorageKeys) known(needs KeyNeeds) []KeyRecord {
	records := make([]KeyRecord, 0, len(s.records))
	for name, r := range s.records {
		r.Grace = max(r.Grace, s.grace(needs))
		stem := strings.TrimSuffix(name, keySuffix)
		for _, kind := range []string{promotedSuffix, revokedSuffix} {
			if mark, ok := s.marks[stem+kind]; ok {
				mark.apply(kind, &r)
			}
		}
		records = append(records, r)
	}
	return records
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	storage {
//	    algorithm    RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512
//	    key_size     2048|3072|4096
//	    rotate_every <duration>|never
//	    retire_after <duration>
//	}
func (s *StorageKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Errf("storage takes no %q: write its settings in a block", d.Val())
	}
	lines := newSettingLines(d)
	err := parseBlock(d, lines.of(map[string]func(*caddyfile.Dispenser) error{
		"algorithm":    func(d *caddyfile.Dispenser) error { return parseString(d, &s.Algorithm) },
		"key_size":     func(d *caddyfile.Dispenser) error { return parseInt(d, &s.KeySize) },
		"rotate_every": s.unmarshalRotateEvery,
		"retire_after": func(d *caddyfile.Dispenser) error { return parseDuration(d, &s.RetireAfter) },
	}))
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return lines.wrap(err)
	}
	return nil
}

func (s *StorageKeys) unmarshalRotateEvery(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 1 && d.NextArg() {
		if d.Val() == "never" {
			s.RotateEvery = rotateNever
			return nil
		}
		d.Prev()
	}
	return parseDuration(d, &s.RotateEvery)
}

// Interface guards
var (
	_ KeySource             = (*StorageKeys)(nil)
	_ caddy.Provisioner     = (*StorageKeys)(nil)
	_ caddyfile.Unmarshaler = (*StorageKeys)(nil)
)
