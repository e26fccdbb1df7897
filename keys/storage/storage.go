// Package storage is the source of keys that are made, rotated and kept in Caddy's storage.
package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

func init() {
	caddy.RegisterModule(new(Source))
}

// Source makes and rotates the keys of a set in Caddy's storage, so that a cluster shares
// them through whatever storage it already uses.
//
// Each key is one object, elasticsearch_jwt/<set>/<kid>.json, which is written once and never
// changed. There is always a published successor to the key that signs, so that a rotation
// never signs with a key that some cache cannot know yet.
type Source struct {
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

	logger    *zap.Logger
	algorithm jose.SignatureAlgorithm
	folder    *folder

	busy        chan struct{} // has one element while somebody uses the folder: see enter
	missingLock storageLock   // to make the keys that are missing
	commandLock storageLock   // to do what an operator asks for

	warnedOf string // the kid that warnOfKind last warned of
	problem  error  // what is wrong with some of the stored keys, while the others go on
}

// rotateNever is the setting rotate_every of a set that is rotated by hand alone.
const rotateNever = -1

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "elasticsearch_jwt.keys.storage",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision checks the settings and fills in the defaults. It touches no storage.
func (s *Source) Provision(ctx caddy.Context) error {
	s.logger = ctx.Logger()
	s.setFolder(newFolder(ctx.Storage(), s.logger))
	if err := s.check(); err != nil {
		return err
	}
	s.setDefaults()
	return nil
}

// check checks the settings. A setting that is left out gets its default later.
func (s *Source) check() error {
	if s.Algorithm != "" {
		if _, err := keys.ParseAlgorithm(s.Algorithm, keys.AsymmetricAlgorithms); err != nil {
			return setting.In("algorithm", err)
		}
	}
	switch {
	case s.KeySize == 0:
	case strings.HasPrefix(s.Algorithm, "ES"):
		return setting.In("key_size",
			fmt.Errorf("it is for RSA keys, and the curve of %s has one size: leave it out", s.Algorithm))
	case s.KeySize != 2048 && s.KeySize != 3072 && s.KeySize != 4096:
		return setting.In("key_size", fmt.Errorf("use 2048, 3072 or 4096, not %d", s.KeySize))
	}
	if every := time.Duration(s.RotateEvery); every != 0 && every != rotateNever && every < timing.MinRotateEvery {
		return setting.In("rotate_every",
			fmt.Errorf("use at least %s, so that every cache has seen a key before it signs, or never; not %s",
				setting.ShortDuration(timing.MinRotateEvery), setting.ShortDuration(every)))
	}
	if s.RetireAfter < 0 {
		return setting.In("retire_after",
			fmt.Errorf("it cannot be negative, and is %s", setting.ShortDuration(time.Duration(s.RetireAfter))))
	}
	return nil
}

// setDefaults sets the defaults of the settings that were left out.
func (s *Source) setDefaults() {
	setting.SetDefault(&s.Algorithm, string(jose.RS256))
	s.algorithm = jose.SignatureAlgorithm(s.Algorithm)
	if s.KeySize == 0 {
		s.KeySize = keys.MinRSABits
	}
	if s.RotateEvery == 0 {
		s.RotateEvery = caddy.Duration(timing.DefaultRotateEvery)
	}
	if s.RetireAfter == 0 {
		s.RetireAfter = caddy.Duration(timing.DefaultRetireAfter)
	}
}

func (s *Source) setFolder(f *folder) {
	s.folder, s.missingLock.folder, s.commandLock.folder = f, f, f
	s.busy = make(chan struct{}, 1)
}

// SetName implements [keys.Named]. The folder of the keys has that name.
func (s *Source) SetName(name string) { s.folder.set = name }

// Stop implements [keys.Stopper]. It gives up the locks that the storage has not given yet, and asks for no other.
func (s *Source) Stop() {
	var stopping sync.WaitGroup
	stopping.Go(s.missingLock.stop)
	stopping.Go(s.commandLock.stop)
	stopping.Wait()
}

// Public implements [keys.Source].
func (*Source) Public() bool { return true }

// Origin implements [keys.Source]. The settings do not matter: the keys in Caddy's storage stay the same.
func (*Source) Origin() string { return "" }

// Keys implements [keys.Source]. It reads the stored keys, and makes those that are missing. For that it needs the
// lock. While another replica has the lock, it returns the keys that it has read.
func (s *Source) Keys(ctx context.Context, needs keys.Needs) (keys.Answer, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return keys.Answer{}, err
	}
	defer leave()
	s.folder.remember(needs)
	records, err := s.read(ctx, needs)
	if err != nil {
		return keys.Answer{Timed: records}, err
	}
	if _, missing := s.missing(records, needs); missing {
		records, err = s.lockAndMake(ctx, needs)
	} else {
		s.missingLock.giveUp() // another replica has made the key meanwhile
	}
	answer := keys.Answer{Timed: records, Problem: s.problem}
	if pending, ok := errors.AsType[*lockPending](err); ok {
		answer.Waiting = pending.waiting()
		if !pending.overdue {
			return answer, nil
		}
	}
	if err == nil {
		s.warnOfKind(keyset.NewSchedule(records), needs.Now)
	}
	return answer, err
}

// enter waits until nobody else in this process uses the folder. Call leave before you wait for a lock, so that others
// can read the keys meanwhile.
func (s *Source) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, nil
	case <-ctx.Done():
		return nil, keys.Failed(keys.NoAnswer, keys.ErrBusy)
	}
}

// missing returns the plan of the key to make next; ok is false if none is missing.
func (s *Source) missing(records []keys.Timed, needs keys.Needs) (plan keyset.Plan, ok bool) {
	all := keyset.NewSchedule(records)
	if v, lost := s.folder.unfulfilled(needs); lost && all.Signing(needs.Now) != nil {
		return s.folder.planLost(v, needs), true
	}
	return all.Missing(needs.Now, s.every(), timing.LeadTime(needs.MaxAge))
}

// every returns how long a key signs; zero if rotate_every is never.
func (s *Source) every() time.Duration {
	if s.RotateEvery == rotateNever {
		return 0
	}
	return time.Duration(s.RotateEvery)
}

// CheckNeeds implements [keys.Checker]. Keys must not rotate faster than every cache can know them.
func (s *Source) CheckNeeds(needs keys.Needs) error {
	if lead := timing.LeadTime(needs.MaxAge); s.every() != 0 && s.every() < lead {
		return fmt.Errorf("%s is too long for the key set %s, which has rotate_every %s: "+
			"a key signs once every cache must know it, after %s; use a shorter max_age, or a longer rotate_every",
			setting.ShortDuration(needs.MaxAge), s.folder.set, setting.ShortDuration(s.every()), setting.ShortDuration(lead))
	}
	return nil
}

// lockAndMake makes the keys that are missing if it gets the lock. It returns all keys, or those that were read.
func (s *Source) lockAndMake(ctx context.Context, needs keys.Needs) (records []keys.Timed, err error) {
	release, err := s.missingLock.try(ctx)
	if err == nil {
		defer release()
		needs.Now = needs.Now.UTC().Truncate(time.Second)
		records, err = s.makeMissingKeys(ctx, needs)
	}
	if records == nil {
		records = s.records(needs)
	}
	return records, err
}

// makeMissingKeys makes keys until none is missing, and returns all keys. The caller has the lock.
func (s *Source) makeMissingKeys(ctx context.Context, needs keys.Needs) ([]keys.Timed, error) {
	for {
		records, err := s.read(ctx, needs)
		if err != nil {
			return records, err
		}
		plan, missing := s.missing(records, needs)
		if !missing {
			return s.deleteOld(ctx, records, needs), nil
		}
		if _, err := s.makeKey(ctx, plan, promotion{}, needs); err != nil {
			return records, err
		}
	}
}

// deleteOld deletes the keys that retired long ago, and returns the others. None of their tokens is good any more, and
// no cluster needs to know them.
func (s *Source) deleteOld(ctx context.Context, records []keys.Timed, needs keys.Needs) []keys.Timed {
	all := keyset.NewSchedule(records)
	young := all.LastTurn() - timing.KeepTurns
	return slices.DeleteFunc(slices.Clone(all.Records), func(r keys.Timed) bool {
		retired := all.Retires(&r)
		if retired.IsZero() || needs.Now.Sub(retired) < timing.ForgetAfter || r.Turn > young {
			return false
		}
		return s.folder.deleteKey(ctx, r.ID)
	})
}

// makeKey makes one key, which may promote another, and stores it.
func (s *Source) makeKey(
	ctx context.Context, plan keyset.Plan, promotes promotion, needs keys.Needs,
) (keys.Timed, error) {
	key, private, err := s.generate()
	if err != nil {
		return keys.Timed{}, err
	}
	record := keys.Timed{
		Key:          key,
		Turn:         max(plan.Turn, s.folder.lastTurn()+1), // also after the keys that have revoked others and are gone
		Created:      needs.Now.UTC().Truncate(time.Second),
		SignsFrom:    plan.SignsFrom.UTC().Truncate(time.Second),
		Appears:      plan.Appears.UTC().Truncate(time.Second),
		Replaces:     plan.Replaces,
		ReplacesFrom: plan.ReplacesFrom.UTC().Truncate(time.Second),
		Grace:        s.grace(needs),
	}
	return record, s.folder.storeKey(ctx, record, promotes, private)
}

// grace returns how long a key stays published once it does not sign any more. If this configuration publishes the set
// and does not sign with it, it does not know how long the tokens live, and takes the longest life that is allowed.
func (s *Source) grace(needs keys.Needs) time.Duration {
	lifetime := needs.Lifetime
	if lifetime == 0 {
		lifetime = timing.MaxLifetime
	}
	return lifetime + time.Duration(s.RetireAfter)
}

// read reads the stored keys, and returns all that were read so far. If some of them cannot be used and there are
// others, that is no error: making a successor must not wait for a person to look.
func (s *Source) read(ctx context.Context, needs keys.Needs) ([]keys.Timed, error) {
	unusable, err := s.folder.read(ctx, needs)
	records := s.records(needs)
	switch {
	case err != nil:
		return records, err
	case unusable == nil:
		s.problem = nil
	case len(records) == 0:
		return records, unusable
	default:
		s.report(unusable)
	}
	return records, nil
}

// records returns the keys that were read so far. They stay published for longer than they say if the tokens of this
// configuration live longer than those of the one that made the key.
func (s *Source) records(needs keys.Needs) []keys.Timed {
	records := s.folder.records()
	for i := range records {
		records[i].Grace = max(records[i].Grace, s.grace(needs))
	}
	return records
}

// report logs what is wrong with some of the stored keys, if it has not done so yet.
func (s *Source) report(err error) {
	if s.problem == nil || s.problem.Error() != err.Error() {
		s.logger.Error("some stored keys cannot be used; the others go on",
			zap.String("keys", s.folder.set), zap.Error(err))
	}
	s.problem = err
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens:
//
//	storage {
//	    algorithm    RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512
//	    key_size     2048|3072|4096
//	    rotate_every <duration>|never
//	    retire_after <duration>
//	}
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the source's name
	if d.NextArg() {
		return d.Errf("storage takes no %q: write its settings in a block", d.Val())
	}
	lines := setting.NewLines(d)
	err := setting.ParseBlock(d, lines.Record(map[string]func(*caddyfile.Dispenser) error{
		"algorithm":    func(d *caddyfile.Dispenser) error { return setting.ParseString(d, &s.Algorithm) },
		"key_size":     func(d *caddyfile.Dispenser) error { return setting.ParseInt(d, &s.KeySize) },
		"rotate_every": s.unmarshalRotateEvery,
		"retire_after": func(d *caddyfile.Dispenser) error { return setting.ParseDuration(d, &s.RetireAfter) },
	}))
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return lines.Wrap(err)
	}
	return nil
}

func (s *Source) unmarshalRotateEvery(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 1 && d.NextArg() {
		if d.Val() == "never" {
			s.RotateEvery = rotateNever
			return nil
		}
		d.Prev()
	}
	return setting.ParseDuration(d, &s.RotateEvery)
}

// Interface guards
var (
	_ keys.Source           = (*Source)(nil)
	_ keys.Named            = (*Source)(nil)
	_ keys.Checker          = (*Source)(nil)
	_ keys.Stopper          = (*Source)(nil)
	_ keys.Rotator          = (*Source)(nil)
	_ caddy.Provisioner     = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Source)(nil)
)
