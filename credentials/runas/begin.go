package runas

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
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

// verdict is what the cluster says of the key.
type verdict struct {
	authorization string   // of the key
	grants        *grants  // nil if they were not asked for
	missing       []string // for a person
	refusal       *credential.Refusal
}

// verdictOn returns the verdict on a key, or nil if there is none.
func (r *RunAs) verdictOn(key cluster.User) *verdict {
	if v := r.verdict.Load(); v != nil && v.authorization == key.Authorization() {
		return v
	}
	return nil
}

// Run implements [credential.Runner]. It asks the cluster what the key may do, until it knows, and then
// now and then.
func (r *RunAs) Run(ctx context.Context, _ credential.Denied) { r.watchKey(ctx) }

func (r *RunAs) watchKey(ctx context.Context) {
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
	ctx, cancel := context.WithTimeout(ctx, timing.CredentialTimeout)
	defer cancel()
	v, err := r.ask(ctx, key)
	before := r.verdictOn(key)
	if err != nil {
		if before == nil {
			r.warn("the cluster does not say what the API key of run_as may do: it is asked again", err)
		}
		return doubted
	}
	if !doubted && before.isGood() && v.refusal != nil && v.refusal.Detail == adviceKeyRefused {
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

// isGood reports whether a verdict, which can be nil, says that the key is good.
func (v *verdict) isGood() bool { return v != nil && v.refusal == nil }

// endsSoon reports whether a verdict, which can be nil, is about a good key that ends soon.
func (v *verdict) endsSoon(now time.Time) bool {
	return v.isGood() && v.grants.expires > 0 && v.grants.end().Sub(now) < endsSoon
}

// same reports whether a verdict says the same as another one, which can be nil. The cause of a refusal does not
// count: it names a node, and any of them may have answered.
func (v *verdict) same(other *verdict) bool {
	return other != nil && (v.refusal == nil) == (other.refusal == nil) && slices.Equal(v.missing, other.missing) &&
		reflect.DeepEqual(v.grants, other.grants)
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

// ask asks the cluster what a key may do. An error says that it did not answer.
func (r *RunAs) ask(ctx context.Context, key cluster.User) (*verdict, error) {
	who, err := r.askWho(ctx, key)
	if err != nil {
		return nil, err
	}
	v := &verdict{authorization: key.Authorization()}
	switch {
	case who.OK():
	case isWithoutSecurity(who):
		return v.refuse(who.Err(), adviceNoSecurity), nil
	case who.Status == http.StatusUnauthorized:
		return v.refuse(who.Err(), adviceKeyRefused), nil
	default:
		return nil, who.Err()
	}
	seen, err := parseWho(who)
	if err != nil {
		return nil, err
	}
	if seen.Type != "api_key" {
		return v.refuse(fmt.Errorf("authentication_type is %q", seen.Type),
			"the cluster does not take the `key` of run_as for an API key: the operator must make one"), nil
	}
	answer, err := r.nodes.Ask(ctx, cluster.Question{
		Method: http.MethodGet, Path: "/_security/api_key?id=" + url.QueryEscape(key.Name()), Header: key.Header(),
	})
	switch {
	case err != nil:
		return nil, err
	case !answer.OK():
		return nil, answer.Err()
	}
	if v.grants, err = parseGrants(answer.Body, key.Name()); err != nil {
		return nil, err
	}
	v.weigh(r.Users)
	if v.isGood() {
		err = r.lookUp(ctx, key, v)
	}
	return v, err
}

// lookUp asks for each user of a group whether the key can run as it, and so whether it exists. The key's patterns have
// said already for whom it may.
func (r *RunAs) lookUp(ctx context.Context, key cluster.User, v *verdict) error {
	for _, u := range r.Users {
		if !v.grants.mayRunAs(u.Name) {
			continue
		}
		header := key.Header()
		header.Set(runAsUser, u.Name)
		answer, err := r.nodes.Ask(ctx, whoAmI(header))
		switch {
		case err != nil:
			return err
		case answer.Status == http.StatusForbidden:
			v.missing = append(v.missing, fmt.Sprintf("a user %q, which the cluster does not have: make it", u.Name))
		case answer.Status == http.StatusUnauthorized:
			v.missing = append(v.missing, fmt.Sprintf("the user %q to be enabled", u.Name))
		}
	}
	return nil
}

// warn warns at most once a minute.
func (r *RunAs) warn(what string, err error) {
	if times, due := r.warnings.Due(what, time.Now()); due {
		r.logger.Warn(what, zap.Int("times", times), zap.Error(err))
	}
}

// askWho asks who the key is. A 401 counts if no node says otherwise: one that has just started may know no keys yet.
func (r *RunAs) askWho(ctx context.Context, key cluster.User) (answer *cluster.Answer, err error) {
	for range r.nodes.Nodes() {
		answer, err = r.nodes.Ask(ctx, whoAmI(key.Header()))
		if err != nil || answer.Status != http.StatusUnauthorized {
			break
		}
	}
	return answer, err
}

// lacksPattern says what an API key lacks for a user.
func lacksPattern(user string) string {
	return fmt.Sprintf("an API key whose run_as has %q, or a pattern that matches it: make another one", user)
}

// weigh decides whether what the key may do is right. An API key without role descriptors has every right of its owner.
func (v *verdict) weigh(users []User) {
	switch g := v.grants; {
	case g.owner:
		v.refuse(nil, "the API key of run_as has no role_descriptors, and so every right of its owner: "+
			"the operator must make one that has run_as and nothing else")
	case len(g.more) > 0:
		v.refuse(fmt.Errorf("its role descriptors have %s", strings.Join(g.more, ", ")),
			"the API key of run_as has other rights beside run_as: the operator must make one that has nothing else")
	case len(g.runAs) == 0:
		v.refuse(nil, "the API key of run_as has no run_as: the operator must make one that has it, and nothing else")
	}
	if v.refusal != nil {
		return
	}
	for _, u := range users {
		if !v.grants.mayRunAs(u.Name) {
			v.missing = append(v.missing, lacksPattern(u.Name))
		}
	}
}

func (v *verdict) refuse(cause error, detail string) *verdict {
	v.refusal = credential.Refuse(credential.ProxyRefused, cause, detail)
	v.missing = []string{detail}
	return v
}
