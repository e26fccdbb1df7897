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

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
)

// verdict is what the cluster says of the key.
type verdict struct {
	authorization string   // of the key
	grants        *grants  // nil if they were not asked for
	missing       []string // for a person
	refusal       *credential.Refusal
	keyRefused    bool // the refusal is for a 401, which a node that has just started gives to good keys too
}

// verdictOn returns the verdict on a key, or nil if there is none.
func (r *RunAs) verdictOn(key cluster.User) *verdict {
	if v := r.verdict.Load(); v != nil && v.authorization == key.Authorization() {
		return v
	}
	return nil
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
		v.keyRefused = true
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
		v.missing = append(v.missing, r.lookUp(ctx, key, v.grants)...)
	}
	return v, nil
}

// lookUp returns which users of groups the cluster does not have. The key's patterns have said already for whom it may run
// requests. Without an answer nothing is missing, as far as is known.
func (r *RunAs) lookUp(ctx context.Context, key cluster.User, granted *grants) (missing []string) {
	for _, u := range r.Users {
		if !granted.mayRunAs(u.Name) {
			continue
		}
		header := key.Header()
		header.Set(runAsUser, u.Name)
		answer, err := r.nodes.Ask(ctx, whoAmI(header))
		switch {
		case err != nil:
			return nil
		case answer.Status == http.StatusForbidden:
			missing = append(missing, fmt.Sprintf("a user %q, which the cluster does not have: make it", u.Name))
		case answer.Status == http.StatusUnauthorized:
			missing = append(missing, fmt.Sprintf("the user %q to be enabled", u.Name))
		}
	}
	return missing
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
