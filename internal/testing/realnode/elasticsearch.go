package realnode

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ElasticsearchConfig describes an Elasticsearch node.
type ElasticsearchConfig struct {
	Config
	// License is the license of the node: trial (the default, with all realms) or
	// basic (without the JWT and PKI realms).
	License string
	// RoleMappings by name; see [Elasticsearch.SetRoleMappings].
	RoleMappings map[string]RoleMapping
	// Roles are the roles of roles.yml.
	Roles string
	// Users of the file realm, beside the administrator.
	Users []User
	// Keystore are the secure settings.
	Keystore map[string]string
	// SecurityIndex makes the .security index work, with API keys, native users and
	// the role-mapping API. It takes the time to compile a small plugin.
	SecurityIndex bool
}

// Elasticsearch is an Elasticsearch node.
type Elasticsearch struct {
	*Node
	// Admin is a user of the file realm with the role superuser.
	Admin User

	mappings int // version of the operator settings
}

// javaForElasticsearch returns the versions of Java on which a major version runs.
func javaForElasticsearch(major int) (javaRange, error) {
	switch {
	case major < 8:
		return javaRange{}, fmt.Errorf("elasticsearch %d has no JWT realm; use 8.2 or later", major)
	case major == 8:
		return javaRange{min: 17}, nil
	default:
		return javaRange{min: 21}, nil
	}
}

// NewElasticsearch fetches, unpacks and configures a node, and does not start it.
// The caller must close it, even if it is never started.
func NewElasticsearch(ctx context.Context, config ElasticsearchConfig) (_ *Elasticsearch, err error) {
	major, err := majorVersion(config.Version)
	if err != nil {
		return nil, err
	}
	java, err := javaForElasticsearch(major)
	if err != nil {
		return nil, err
	}
	node, err := newNode(ctx, "elasticsearch", config.Config, java)
	if err != nil {
		return nil, fmt.Errorf("elasticsearch %s: %w", config.Version, err)
	}
	es := &Elasticsearch{
		Node:  node,
		Admin: User{Name: "admin", Password: rand.Text(), Roles: []string{"superuser"}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("elasticsearch %s: %w", config.Version, err), es.Close())
		}
	}()
	es.authorize = func(r *http.Request) { r.SetBasicAuth(es.Admin.Name, es.Admin.Password) }
	es.ready = es.isReady

	distribution := artifact{
		group: "org.elasticsearch.distribution.integ-test-zip", id: "elasticsearch",
		version: config.Version, extension: "zip",
	}
	if err := unpackArtifact(ctx, distribution, es.home, withoutFirstFolder, es.config.Logf); err != nil {
		return nil, err
	}
	if config.SecurityIndex {
		if err := installAnalysis(ctx, es.jdk, es.home, config.Version, java.min); err != nil {
			return nil, err
		}
	}
	if err := es.writeFiles(config); err != nil {
		return nil, err
	}
	if err := es.AddKeystore(ctx, config.Keystore); err != nil {
		return nil, err
	}
	return es, nil
}

func (es *Elasticsearch) writeFiles(config ElasticsearchConfig) error {
	license := config.License
	if license == "" {
		license = "trial"
	}
	settings := renderSettings(map[string]any{
		"cluster.name":   "realnode",
		"node.name":      "node",
		"network.host":   "127.0.0.1",
		"http.port":      es.httpPort,
		"transport.port": es.transportPort,
		"discovery.type": "single-node",
		"cluster.routing.allocation.disk.threshold_enabled": false,
		"xpack.license.self_generated.type":                 license,
		"xpack.security.enabled":                            true,
		"xpack.security.autoconfiguration.enabled":          false,
		"xpack.security.http.ssl.enabled":                   true,
		"xpack.security.http.ssl.certificate":               "certs/http.crt",
		"xpack.security.http.ssl.key":                       "certs/http.key",
	}, config.Settings)
	passwords, memberships, err := renderUsers(append([]User{es.Admin}, config.Users...))
	if err != nil {
		return err
	}
	files := map[string]string{"users": passwords, "users_roles": memberships}
	if config.Roles != "" {
		files["roles.yml"] = dedent(config.Roles)
	}
	for name, text := range files {
		if err := es.WriteConfig(name, []byte(text)); err != nil {
			return err
		}
	}
	if len(config.RoleMappings) > 0 {
		if err := es.writeRoleMappings(config.RoleMappings); err != nil {
			return err
		}
	}
	return es.writeConfig(settings)
}

// AddKeystore adds secure settings to the node's keystore. A running node reads
// them after POST /_nodes/reload_secure_settings.
func (es *Elasticsearch) AddKeystore(ctx context.Context, entries map[string]string) error {
	if len(entries) == 0 {
		return nil
	}
	run := func(stdin string, args ...string) error {
		cmd := es.command(ctx, "elasticsearch-keystore", args...)
		cmd.Stdin = strings.NewReader(stdin)
		output, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("elasticsearch-keystore %s: %w\n%s", args[0], err, tail(string(output), 10))
		}
		return nil
	}
	if _, err := os.Stat(es.ConfigPath("elasticsearch.keystore")); errors.Is(err, fs.ErrNotExist) {
		if err := run("", "create"); err != nil {
			return err
		}
	}
	names := slices.Sorted(maps.Keys(entries))
	var values strings.Builder
	for _, name := range names {
		values.WriteString(entries[name] + "\n")
	}
	return run(values.String(), append([]string{"add", "-x", "-f"}, names...)...)
}

// SetRoleMappings replaces the role mappings, which the node takes from
// config/operator/settings.json, and waits until a running node has them.
func (es *Elasticsearch) SetRoleMappings(ctx context.Context, mappings map[string]RoleMapping) error {
	if err := es.writeRoleMappings(mappings); err != nil {
		return err
	}
	if es.running == nil || !es.running.Running() {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := es.hasRoleMappings(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not take over its role mappings: %w", es, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (es *Elasticsearch) writeRoleMappings(mappings map[string]RoleMapping) error {
	es.mappings++
	settings, err := renderOperatorSettings(es.mappings, mappings)
	if err != nil {
		return fmt.Errorf("role mappings: %w", err)
	}
	return es.WriteConfig("operator/settings.json", settings)
}

// hasRoleMappings reports whether the node has read the operator settings that were
// written last.
func (es *Elasticsearch) hasRoleMappings(ctx context.Context) (bool, error) {
	if es.mappings == 0 {
		return true, nil
	}
	status, body, err := es.Do(ctx, http.MethodGet, "/_cluster/state/metadata?filter_path=metadata.reserved_state", "")
	if err != nil || status != http.StatusOK {
		return false, nil //nolint:nilerr // it is not up yet: the caller asks again
	}
	return parseReservedState(body, es.mappings)
}

// parseReservedState reports whether the operator settings in a cluster state have
// the wanted version, or returns an error that says why the node refused them.
func parseReservedState(body []byte, want int) (bool, error) {
	var state struct {
		Metadata struct {
			ReservedState map[string]struct {
				Version int `json:"version"`
				Errors  *struct {
					Version int      `json:"version"`
					Errors  []string `json:"errors"`
				} `json:"errors"`
			} `json:"reserved_state"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &state); err != nil {
		return false, fmt.Errorf("read the cluster state: %w", err)
	}
	file := state.Metadata.ReservedState["file_settings"]
	if file.Errors != nil && file.Errors.Version >= want {
		return false, fmt.Errorf("operator settings, version %s: %s",
			strconv.Itoa(want), strings.Join(file.Errors.Errors, "; "))
	}
	return file.Version >= want, nil
}

func (es *Elasticsearch) isReady(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, _, err := es.Do(ctx, http.MethodGet, "/_cluster/health?wait_for_status=yellow&timeout=1s", "")
	if err != nil || status != http.StatusOK {
		return false, nil // it is not up yet: the caller asks again
	}
	return es.hasRoleMappings(ctx)
}
