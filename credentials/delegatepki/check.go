package delegatepki

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/timing"
)

// checkPause is how often it is looked whether there is something to ask the cluster about.
const checkPause = 10 * time.Second

// Run implements [credential.Runner]. It asks the cluster whether the proxy's user may ask for tokens, until it knows that
// it may, and again when the user is another one.
func (p *DelegatePKI) Run(ctx context.Context, _ credential.Denied) {
	ticker := time.NewTicker(checkPause)
	defer ticker.Stop()
	var checked uint64
	for {
		version := p.user.Version()
		if missing := p.missing.Load(); missing == nil || *missing != "" || version != checked {
			p.check(ctx)
			checked = version
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// check asks the cluster, and logs what it says if that is something else than before.
func (p *DelegatePKI) check(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, timing.CredentialTimeout)
	defer cancel()
	missing, err := p.ask(limited, p.user.Get())
	if ctx.Err() != nil {
		return // the configuration has ended
	}
	if err != nil {
		if times, due := p.warnings.Due("", time.Now()); due {
			p.logger.Warn("it could not be checked what the cluster must have for `credential delegate_pki`: "+
				"it is tried again", zap.Int("times", times), zap.Error(err))
		}
		return
	}
	before := p.missing.Swap(&missing)
	switch {
	case before != nil && *before == missing:
	case missing != "":
		p.logger.Error("something is missing for `credential delegate_pki`: " + missing)
	default:
		p.logger.Info("the cluster has what `credential delegate_pki` needs of the proxy's user")
	}
}

// ask says what the user lacks; "" if nothing. An error says that this is not known.
func (p *DelegatePKI) ask(ctx context.Context, user cluster.User) (missing string, err error) {
	const privilege = "delegate_pki"
	answer, err := p.nodes.Ask(ctx, cluster.Question{
		Method: http.MethodPost, Path: "/_security/user/_has_privileges", Header: user.Header(),
		Body: map[string]any{"cluster": []string{privilege}},
	})
	switch {
	case err != nil:
		return "", err
	case answer.Status == http.StatusUnauthorized:
		return fmt.Sprintf("the cluster refuses the proxy's own user %q: make it there, enable it, or correct the file of "+
			"the setting user", user.Name()), nil
	case !answer.OK():
		return "", answer.Err()
	}
	var has struct {
		Cluster map[string]bool `json:"cluster"`
	}
	if err := answer.Decode(&has); err != nil {
		return "", err
	}
	if !has.Cluster[privilege] {
		return fmt.Sprintf("the proxy's user %q lacks the cluster privilege %s: grant it", user.Name(), privilege), nil
	}
	return "", nil
}
