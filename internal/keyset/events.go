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

// keysSeen is what was last told about a set's keys.
type keysSeen struct {
	mu        sync.Mutex
	signing   *keys.Key
	published []string // kids
	revoked   []string // kids
}

// tell logs one line, and emits an event, for each thing that has happened to the keys since it
// was last called: a key was created, began to sign, was revoked or retired, or could not be read
// or made.
func (ks *Set) tell(now time.Time, failure error) {
	if failure != nil {
		ks.event("key_failed", zap.Stringer("reason", keys.FailureOf(failure)), zap.Error(failure))
	}
	if current := ks.State.Current(); current != nil {
		// Whoever hears an event may act upon the keys: nothing is locked meanwhile.
		for _, tell := range ks.news(current, now) {
			tell()
		}
	}
}

// news is what there is to tell, once.
func (ks *Set) news(current *Schedule, now time.Time) []func() {
	seen := &ks.State.seen
	seen.mu.Lock()
	defer seen.mu.Unlock()

	first := seen.signing == nil // what is old now was told before this process began
	var news []func()
	var published []string
	for _, r := range current.Published(now) {
		published = append(published, r.ID)
		if !slices.Contains(seen.published, r.ID) {
			news = append(news, func() { ks.tellNew(r, current.fixed || first && now.Sub(r.Created) > 2*timing.PollInterval) })
		}
	}
	if signing := current.Signing(now); signing != nil && (first || !signing.Is(seen.signing)) {
		if !first {
			ks.State.counts.rotations.Add(1)
		}
		seen.signing = signing.Key
		news = append(news, func() {
			ks.event("key_signing", zap.String("kid", signing.ID), zap.String("algorithm", string(signing.Algorithm)))
		})
	}
	for i := range current.Records {
		r := &current.Records[i]
		if r.RevokedAt(now) && !slices.Contains(seen.revoked, r.ID) {
			seen.revoked = append(seen.revoked, r.ID)
			if !first {
				news = append(news, func() {
					ks.event("key_revoked", zap.String("kid", r.ID), logfield.Time("withdrawn", r.Withdrawn))
				})
			}
		}
	}
	for _, kid := range seen.published {
		if !slices.Contains(published, kid) {
			news = append(news, func() { ks.event("key_retired", zap.String("kid", kid)) })
		}
	}
	seen.published = published
	return news
}

// tellNew tells of a key that was not known before: it was created by us or, since we last
// looked, by another replica; or it is older than this process, or nobody knows how old it is.
func (ks *Set) tellNew(r *keys.Timed, older bool) {
	fields := []zap.Field{zap.String("kid", r.ID), zap.String("algorithm", string(r.Algorithm))}
	if older {
		ks.Logger.Info("signing key loaded", fields...)
		return
	}
	ks.event("key_created", append(fields, logfield.Time("signs_from", r.Begins()), logfield.Time("created", r.Created))...)
}

// event logs and emits one event. A failure was logged by whoever met it.
func (ks *Set) event(name string, fields ...zap.Field) {
	if name != "key_failed" {
		ks.Logger.Named("audit").Info(keyEventText[name], fields...)
	}
	if ks.Emit == nil {
		return
	}
	data := zapcore.NewMapObjectEncoder()
	data.AddString("keys", ks.Name)
	for _, f := range fields {
		f.AddTo(data)
	}
	ks.Emit("elasticsearch_jwt."+name, data.Fields)
}

var keyEventText = map[string]string{
	"key_created": "signing key created",
	"key_signing": "signing key began to sign",
	"key_retired": "signing key left the JWKS",
	"key_revoked": "signing key revoked",
}
