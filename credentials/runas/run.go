package runas

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

const (
	// glance is how often the check looks whether there is another key, and asks again if the cluster said nothing.
	glance = 10 * time.Second

	// recheck is how often the cluster is asked what a key may do that it has been asked about: somebody can update it.
	recheck = 5 * time.Minute

	// endsSoon is how long before its end the operator is told of a key that ends, and reminder how often.
	endsSoon = 14 * 24 * time.Hour
	reminder = 24 * time.Hour
)

// Run implements [credential.Runner]. It asks the cluster what the key may do, until it knows, and then
// now and then.
func (r *RunAs) Run(ctx context.Context, _ credential.Denied) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	var asked, reminded time.Time
	doubts := false
	for {
		key := r.key.Get()
		if v := r.verdictOn(key); doubts || v == nil || v.refusal != nil || time.Since(asked) >= recheck {
			asked = time.Now()
			doubts = r.judge(ctx, key, doubts)
		}
		if v := r.verdictOn(key); v.endsSoon(time.Now()) && time.Since(reminded) >= reminder {
			reminded = time.Now()
			r.logger.Warn("the API key of run_as ends soon, and all clients are refused from then on: make another one, "+
				"and write it into the file of the setting key",
				zap.String("key_id", key.Name()), zap.Time("expires", v.grants.end()))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// judge asks the cluster about a key. A verdict stands until there is another one: an outage tells nothing, and a node
// that has just started refuses good keys for a moment. So it doubts that a good key is refused, but not twice.
func (r *RunAs) judge(ctx context.Context, key cluster.User, doubted bool) (doubts bool) {
	limited, cancel := context.WithTimeout(ctx, timing.CredentialTimeout)
	defer cancel()
	v, err := r.ask(limited, key)
	before := r.verdictOn(key)
	if err != nil {
		if before == nil && ctx.Err() == nil { // else the configuration has ended
			r.warn("the cluster does not say what the API key of run_as may do: it is asked again", err)
		}
		return doubted
	}
	if !doubted && before.isGood() && v.keyRefused {
		return true
	}
	if v.same(before) {
		return false
	}
	r.verdict.Store(v)
	r.verdicts.Add(1) // after the verdict is there, so that whoever sees the count sees the verdict
	r.report(key, v)
	return false
}

// report tells the operator what the cluster says of a key.
func (r *RunAs) report(key cluster.User, v *verdict) {
	id := zap.String("key_id", key.Name())
	if v.refusal != nil {
		r.logger.Error("all clients are refused: "+v.refusal.Detail, id, zap.Error(v.refusal.Cause))
		return
	}
	if reached := v.grants.reaches(); len(reached) > 0 {
		r.logger.Warn("the API key of run_as reaches reserved users, and perhaps every superuser: "+
			"give its run_as a pattern that only clients match, such as edge-*", id, zap.Strings("users", reached))
	}
	for _, missing := range v.missing {
		r.logger.Warn("some clients are refused: run_as needs "+missing, id)
	}
	fields := []zap.Field{id, zap.Strings("run_as", v.grants.runAs)}
	if v.grants.expires > 0 {
		fields = append(fields, zap.Time("expires", v.grants.end()))
	}
	r.logger.Info("clients run as users of the cluster", fields...)
}

// warn warns at most once a minute.
func (r *RunAs) warn(what string, err error) {
	if times, due := r.warnings.Due(what, time.Now()); due {
		r.logger.Warn(what, zap.Int("times", times), zap.Error(err))
	}
}
