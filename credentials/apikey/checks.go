package apikey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

const (
	// checkPause and longestCheckPause are the time until the checks are tried again that could not be made.
	checkPause        = 5 * time.Second
	longestCheckPause = 5 * time.Minute

	// noticePause is how often it is looked whether a file has changed, and recheckAfter when all is checked again in
	// any case: somebody may have changed the user, its roles or the licence. That is likely while something is missing.
	noticePause    = 10 * time.Second
	recheckAfter   = time.Hour / timing.TimeScale
	recheckMissing = time.Minute / timing.TimeScale

	checkTimeout = 20 * time.Second
)

// keepChecking checks what the cluster must have, when the configuration starts and when something changes.
func (a *APIKey) keepChecking(ctx context.Context) {
	var logged []string
	pause := checkPause
	for {
		version := a.Version()
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		missing, err := a.checkCluster(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.logger.Warn("it could not be checked what the cluster must have for `credential api_key`: "+
				"it is tried again", zap.Error(cause(err)))
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, longestCheckPause)
			continue
		}
		pause = checkPause
		before := a.missing.Swap(&missing)
		if before == nil || !slices.Equal(missing, logged) {
			for _, m := range missing {
				a.logger.Error("something is missing for `credential api_key`: " + m)
			}
			if len(missing) == 0 {
				a.logger.Info("the cluster has what `credential api_key` needs")
			}
			logged = missing
			a.outdated.Store(before != nil)
		}
		after := recheckAfter
		if len(missing) > 0 {
			after = recheckMissing
		}
		for began := time.Now(); a.Version() == version && time.Since(began) < after; {
			if !sleep(ctx, noticePause) {
				return
			}
		}
	}
}

// checkCluster returns what is missing, each with what to do. An error says that this is not known.
func (a *APIKey) checkCluster(ctx context.Context) (missing []string, err error) {
	asked, err := a.apiOf(a.user.Get())
	if err != nil {
		return nil, err
	}
	refused, superuser, err := asked.checkUser(ctx)
	if err != nil || refused != "" {
		return one(refused), err
	}
	if superuser && a.missing.Load() == nil { // at the first check
		a.logger.Warn("the user of `credential api_key` is a superuser, so whoever can read its password has the cluster: "+
			"give it no more than the privileges of the roles, and "+managePrivilege, zap.String("user", asked.user.Name()))
	}
	if _, err := asked.isGood(ctx, "none"); errors.Is(err, errKeysOff) {
		return one(errKeysOff.Error()), nil
	}
	lacked, err := asked.checkPrivileges(ctx, descriptor{cluster: []string{managePrivilege}})
	if err != nil {
		return nil, err
	}
	missing = append(missing, asked.lacking("", lacked)...)
	for _, r := range a.roles {
		lacked, err := asked.checkPrivileges(ctx, r.file.Get())
		if unknown, ok := errors.AsType[*unknownPrivilegeError](err); ok {
			missing = append(missing, fmt.Sprintf("the role of the group %q has what the cluster does not know: correct it (%v)",
				r.group, unknown.cause))
			continue
		}
		if err != nil {
			return nil, err
		}
		missing = append(missing, asked.lacking(r.group, lacked)...)
	}
	unlicensed, err := a.checkLicence(ctx, asked)
	return append(missing, unlicensed...), err
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// checkUser says why the user cannot make keys; "" if the cluster knows it. superuser says that it has the role.
func (a *api) checkUser(ctx context.Context) (refused string, superuser bool, err error) {
	var who struct {
		Username string   `json:"username"`
		Roles    []string `json:"roles"`
	}
	err = a.ask(ctx, http.MethodGet, "/_security/_authenticate", nil, &who)
	refusal, ok := errors.AsType[*credential.Refusal](err)
	switch {
	case err == nil && who.Username != a.user.Name():
		return fmt.Sprintf("a node takes the user %q for %q: no anonymous or other user may take its place",
			a.user.Name(), who.Username), false, nil
	case err == nil:
		return "", slices.Contains(who.Roles, "superuser"), nil
	case errors.Is(err, errSecurityOff):
		return errSecurityOff.Error(), false, nil
	case ok && refusal.Problem == credential.ProxyRefused:
		return fmt.Sprintf("the cluster refuses the user %q: make it there, enable it, or set its password in the file of "+
			"the setting user (%v)", a.user.Name(), refusal.Cause), false, nil
	}
	return "", false, err
}

// lacking says what to do about privileges that the user lacks.
func (a *api) lacking(group string, lacked []string) []string {
	if len(lacked) == 0 {
		return nil
	}
	what := strings.Join(lacked, "; ")
	if group == "" {
		return []string{fmt.Sprintf("the user %q lacks %s: grant it, or it can make no API key", a.user.Name(), what)}
	}
	return []string{fmt.Sprintf("the user %q lacks what the role of the group %q has: %s: grant it to the user, "+
		"or take it out of the role; until then clients of the group cannot do it either", a.user.Name(), group, what)}
}

// unknownPrivilegeError says that the cluster does not know a privilege.
type unknownPrivilegeError struct{ cause error }

func (e *unknownPrivilegeError) Error() string { return e.cause.Error() }

// Unwrap returns what the cluster said.
func (e *unknownPrivilegeError) Unwrap() error { return e.cause }

// checkPrivileges returns the privileges of a role that the user lacks. If the cluster does not know one of them, the
// error is an unknownPrivilegeError.
func (a *api) checkPrivileges(ctx context.Context, role descriptor) (lacked []string, err error) {
	body := make(map[string]any)
	if len(role.cluster) > 0 {
		body["cluster"] = role.cluster
	}
	if len(role.indices) > 0 {
		list := make([]any, len(role.indices))
		for i, entry := range role.indices {
			list[i] = map[string]any{
				"names": entry.Names, "privileges": entry.Privileges, "allow_restricted_indices": entry.AllowRestricted,
			}
		}
		body["index"] = list
	}
	named := slices.DeleteFunc(slices.Clone(role.applications), func(a applicationPrivileges) bool {
		return strings.Contains(a.Application, "*") // which this API does not take
	})
	if len(named) > 0 {
		body["application"] = named
	}
	if len(body) == 0 {
		return nil, nil // of another cluster, which cannot be asked for
	}
	answer, err := a.cluster.Ask(ctx, cluster.Question{
		Method: http.MethodPost, Path: "/_security/user/_has_privileges", Header: a.user.Header(), Body: body,
	})
	switch {
	case err != nil:
		return nil, unreachable(err)
	case answer.Status == http.StatusBadRequest:
		return nil, &unknownPrivilegeError{answer.Err()}
	case !answer.OK():
		return nil, refusal(answer)
	}
	var has struct {
		Cluster     map[string]bool                       `json:"cluster"`
		Index       map[string]map[string]bool            `json:"index"`
		Application map[string]map[string]map[string]bool `json:"application"`
	}
	if err := answer.Decode(&has); err != nil {
		return nil, err
	}
	if no := withheld(has.Cluster); no != "" {
		lacked = append(lacked, "the cluster privilege "+no)
	}
	for _, name := range slices.Sorted(maps.Keys(has.Index)) {
		if no := withheld(has.Index[name]); no != "" {
			lacked = append(lacked, no+" on "+name)
		}
	}
	for _, application := range slices.Sorted(maps.Keys(has.Application)) {
		for _, resource := range slices.Sorted(maps.Keys(has.Application[application])) {
			if no := withheld(has.Application[application][resource]); no != "" {
				lacked = append(lacked, fmt.Sprintf("%s on %s of the application %s", no, resource, application))
			}
		}
	}
	return lacked, nil
}

// withheld returns the names of the privileges that are not there.
func withheld(has map[string]bool) string {
	var no []string
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if !has[name] {
			no = append(no, name)
		}
	}
	return strings.Join(no, ", ")
}

// checkLicence says of roles that need another licence. Such a key can be made with any, and each search with it fails.
func (a *APIKey) checkLicence(ctx context.Context, asked *api) (missing []string, err error) {
	var groups []string
	for _, r := range a.roles {
		if r.file.Get().limited {
			groups = append(groups, fmt.Sprintf("%q", r.group))
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	answer, err := asked.cluster.Ask(ctx, cluster.Question{
		Method: http.MethodGet, Path: "/_license", Header: asked.user.Header(),
	})
	if err != nil {
		return nil, unreachable(err)
	}
	of := fmt.Sprintf("the roles of the groups %s have document or field level security, for which the cluster "+
		"needs a Platinum, Enterprise or trial licence", strings.Join(groups, ", "))
	if answer.Status == http.StatusForbidden {
		return one(of + ": it could not be checked, because the user lacks the cluster privilege monitor"), nil
	}
	if !answer.OK() {
		return nil, refusal(answer)
	}
	var licence struct {
		License struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"license"`
	}
	if err := answer.Decode(&licence); err != nil {
		return nil, err
	}
	kind := licence.License.Type
	switch {
	case licence.License.Status == "active" && slices.Contains([]string{"platinum", "enterprise", "trial"}, kind):
		return nil, nil
	case slices.Contains([]string{"platinum", "enterprise", "trial"}, kind):
		return one(of + ": its licence is " + licence.License.Status), nil
	}
	return one(fmt.Sprintf("%s, and it has %q: every search of their clients fails until the licence is another, "+
		"or the roles have no query and no field_security", of, kind)), nil
}
