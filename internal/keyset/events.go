package keyset

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// reportedKeys is what the log and the events have said so far about the keys of a set.
type reportedKeys struct {
	mu        sync.Mutex
	signing   *keys.Key // nil before the first report
	published []string  // kids
	revoked   []string  // kids
}

// report logs and emits an event for each thing that has happened to the keys since it was last called: a key
// was created, began to sign, was revoked or left the JWKS. A failure is why keys could not be read, made or
// changed.
func (ks *Set) report(now time.Time, failure error) {
	if failure != nil {
		ks.emit(keyFailed, zap.Stringer("reason", keys.FailureOf(failure)), zap.Error(failure))
	}
	if current := ks.State.Current(); current != nil {
		// Who receives an event may ask for the keys or change them, so no lock is held here.
		for _, emit := range ks.newEvents(current, now) {
			emit()
		}
	}
}

// newEvents compares the schedule with what was reported so far, and returns the events that are due. It
// returns each event once.
func (ks *Set) newEvents(current *Schedule, now time.Time) (events []func()) {
	reported := &ks.State.reported
	reported.mu.Lock()
	defer reported.mu.Unlock()

	first := reported.signing == nil // another process has reported what happened before this one began
	var published []string
	for _, r := range current.Published(now) {
		published = append(published, r.ID)
		if !slices.Contains(reported.published, r.ID) {
			old := current.fixed || first && now.Sub(r.Created) > 2*timing.PollInterval
			events = append(events, func() { ks.emitNewKey(r, old) })
		}
	}
	if signing := current.Signing(now); signing != nil && (first || !signing.Is(reported.signing)) {
		if !first {
			ks.State.counts.rotations.Add(1)
		}
		reported.signing = signing.Key
		events = append(events, func() {
			ks.logAndEmit(keySigning, zap.String("kid", signing.ID),
				zap.String("algorithm", string(signing.Algorithm)))
		})
	}
	var revoked []string
	for i := range current.Records {
		r := &current.Records[i]
		if !r.RevokedAt(now) {
			continue
		}
		revoked = append(revoked, r.ID)
		if !slices.Contains(reported.revoked, r.ID) {
			if !first {
				withdrawn := current.Decided(r.Withdrawn)
				events = append(events, func() {
					ks.logAndEmit(keyRevoked, zap.String("kid", r.ID), logfield.Time("withdrawn", withdrawn))
				})
			}
		}
	}
	for _, kid := range reported.published {
		if !slices.Contains(published, kid) {
			events = append(events, func() { ks.logAndEmit(keyRetired, zap.String("kid", kid)) })
		}
	}
	reported.published, reported.revoked = published, revoked
	return events
}

// emitNewKey emits the event of a key that this set did not have before. An old key is older than this
// process, or its age is not known: it was loaded, not created, so the log has it and there is no event.
func (ks *Set) emitNewKey(r *keys.Timed, old bool) {
	fields := []zap.Field{zap.String("kid", r.ID), zap.String("algorithm", string(r.Algorithm))}
	if old {
		ks.Logger.Info("signing key loaded", fields...)
		return
	}
	fields = append(fields, logfield.Time("signs_from", r.Begins()), logfield.Time("created", r.Created))
	ks.logAndEmit(keyCreated, fields...)
}

func (ks *Set) logAndEmit(e event, fields ...zap.Field) {
	ks.Logger.Named("audit").Info(e.message, fields...)
	ks.emit(e, fields...)
}

func (ks *Set) emit(e event, fields ...zap.Field) {
	if ks.Emit == nil {
		return
	}
	data := zapcore.NewMapObjectEncoder()
	data.AddString("keys", ks.Name)
	for _, f := range fields {
		f.AddTo(data)
	}
	ks.Emit(e.name, data.Fields)
}

// event is an event about a key, and the message of the line in the audit log that goes with it.
type event struct{ name, message string }

var (
	keyCreated = event{"key_created", "signing key created"}
	keySigning = event{"key_signing", "signing key began to sign"}
	keyRetired = event{"key_retired", "signing key left the JWKS"}
	keyRevoked = event{"key_revoked", "signing key revoked"}
	keyFailed  = event{name: "key_failed"} // whoever meets a failure logs it
)
