package realnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// OpenSearchConfig describes an OpenSearch node with its security plugin. Its
// administrator is the holder of a throwaway certificate, which Do presents.
type OpenSearchConfig struct {
	Config
	// Security is the plugin's config.yml, which says how clients authenticate.
	Security string
	// Roles are the roles of roles.yml, beside the plugin's own.
	Roles string
	// RolesMapping is roles_mapping.yml, which says who has which role.
	RolesMapping string
	// ClientCA, in PEM, is trusted to sign clients' certificates.
	ClientCA []byte
}

// OpenSearch is an OpenSearch node.
type OpenSearch struct {
	*Node
}

func javaForOpenSearch(major int) (javaRange, error) {
	switch {
	case major < 2:
		return javaRange{}, fmt.Errorf("opensearch %d is too old; use 2 or later", major)
	case major == 2:
		// It needs Java's security manager, which is gone after 23.
		return javaRange{min: 11, max: 23}, nil
	default:
		return javaRange{min: 21}, nil
	}
}

// NewOpenSearch fetches, unpacks and configures a node, and does not start it.
// The caller must close it, even if it is never started.
func NewOpenSearch(ctx context.Context, config OpenSearchConfig) (_ *OpenSearch, err error) {
	major, err := majorVersion(config.Version)
	if err != nil {
		return nil, err
	}
	java, err := javaForOpenSearch(major)
	if err != nil {
		return nil, err
	}
	node, err := newNode(ctx, "opensearch", config.Config, java)
	if err != nil {
		return nil, fmt.Errorf("opensearch %s: %w", config.Version, err)
	}
	search := &OpenSearch{Node: node}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opensearch %s: %w", config.Version, err), search.Close())
		}
	}()
	search.authorize = func(*http.Request) {} // the administrator has a certificate
	search.ready = search.isReady

	distribution := artifact{
		group: "org.opensearch.distribution.integ-test-zip", id: "opensearch",
		version: config.Version, extension: "zip",
	}
	if err := unpackArtifact(ctx, distribution, search.home, withoutFirstFolder, search.config.Logf); err != nil {
		return nil, err
	}
	if err := search.installSecurity(ctx); err != nil {
		return nil, err
	}
	if err := search.writeFiles(config); err != nil {
		return nil, err
	}
	return search, nil
}

// installSecurity unpacks the security plugin as the command opensearch-plugin does.
// That command would have to start a JVM.
func (s *OpenSearch) installSecurity(ctx context.Context) error {
	plugin := artifact{
		group: "org.opensearch.plugin", id: "opensearch-security",
		version: s.config.Version + ".0", extension: "zip",
	}
	if err := unpackArtifact(ctx, plugin, s.home, securityPluginPath, s.config.Logf); err != nil {
		return err
	}
	descriptor := filepath.Join(s.home, securityPlugin, "plugin-descriptor.properties")
	text, err := os.ReadFile(descriptor)
	if err != nil {
		return err
	}
	changed, missing := withoutMissingModules(string(text), func(module string) bool {
		_, err := os.Stat(filepath.Join(s.home, "modules", module))
		return err == nil
	})
	if len(missing) == 0 {
		return nil
	}
	if err := os.WriteFile(descriptor, []byte(changed), 0o644); err != nil {
		return err
	}
	// The plugin uses this library of a module that it extends. The distribution
	// for integration tests does not have the module.
	library := artifact{group: "org.apache.commons", id: "commons-collections4", version: "4.4", extension: "jar"}
	from, err := library.fetch(ctx, s.config.Logf)
	if err != nil {
		return err
	}
	jar, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.home, securityPlugin, filepath.Base(from)), jar, 0o644)
}

const securityPlugin = "plugins/opensearch-security"

// securityPluginPath returns the path in a node of a file in the plugin's zip.
func securityPluginPath(name string) string {
	if config, ok := strings.CutPrefix(name, "config/"); ok {
		return path.Join("config/opensearch-security", config)
	}
	return path.Join(securityPlugin, name)
}

var extendedPlugins = regexp.MustCompile(`(?m)^extended\.plugins=(.*)$`)

// withoutMissingModules removes from a plugin's descriptor the modules that it
// extends but that the distribution does not have.
func withoutMissingModules(descriptor string, has func(module string) bool) (changed string, missing []string) {
	changed = extendedPlugins.ReplaceAllStringFunc(descriptor, func(line string) string {
		var kept []string
		for module := range strings.SplitSeq(strings.TrimPrefix(line, "extended.plugins="), ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(module), ";")
			switch {
			case name == "":
			case has(name):
				kept = append(kept, module)
			default:
				missing = append(missing, name)
			}
		}
		return "extended.plugins=" + strings.Join(kept, ",")
	})
	return changed, missing
}

func (s *OpenSearch) writeFiles(config OpenSearchConfig) error {
	certificates := newClusterCertificates()
	s.client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{certificates.admin}
	roles, err := os.ReadFile(s.ConfigPath("opensearch-security/roles.yml"))
	if err != nil {
		return err
	}
	rolesMapping := "_meta: {type: rolesmapping, config_version: 2}\n" + dedent(config.RolesMapping)
	files := map[string]string{
		"certs/cluster-ca.crt":                   string(certificates.ca),
		"certs/node.crt":                         string(certificates.node.Cert),
		"certs/node.key":                         string(certificates.node.Key),
		"certs/client-ca.crt":                    string(certificates.ca) + string(config.ClientCA),
		"opensearch-security/config.yml":         dedent(config.Security),
		"opensearch-security/roles.yml":          string(roles) + "\n" + dedent(config.Roles),
		"opensearch-security/roles_mapping.yml":  rolesMapping,
		"opensearch-security/internal_users.yml": "_meta: {type: internalusers, config_version: 2}\n",
		"opensearch-security/audit.yml":          "_meta: {type: audit, config_version: 2}\nconfig: {enabled: false}\n",
	}
	for name, text := range files {
		if err := s.WriteConfig(name, []byte(text)); err != nil {
			return err
		}
	}
	const security = "plugins.security."
	return s.writeConfig(renderSettings(map[string]any{
		"cluster.name":   "realnode",
		"node.name":      "node",
		"network.host":   "127.0.0.1",
		"http.port":      s.httpPort,
		"transport.port": s.transportPort,
		"discovery.type": "single-node",
		"cluster.routing.allocation.disk.threshold_enabled": false,

		security + "allow_default_init_securityindex":                      true,
		security + "authcz.admin_dn":                                       []string{adminDN},
		security + "nodes_dn":                                              []string{nodeDN},
		security + "unsupported.restapi.allow_securityconfig_modification": true,
		security + "ssl.transport.pemcert_filepath":                        "certs/node.crt",
		security + "ssl.transport.pemkey_filepath":                         "certs/node.key",
		security + "ssl.transport.pemtrustedcas_filepath":                  "certs/cluster-ca.crt",
		security + "ssl.transport.enforce_hostname_verification":           false,
		security + "ssl.http.enabled":                                      true,
		security + "ssl.http.clientauth_mode":                              "OPTIONAL",
		security + "ssl.http.pemcert_filepath":                             "certs/http.crt",
		security + "ssl.http.pemkey_filepath":                              "certs/http.key",
		security + "ssl.http.pemtrustedcas_filepath":                       "certs/client-ca.crt",
	}, config.Settings))
}

// isReady asks the security plugin too, which is ready later than the node.
func (s *OpenSearch) isReady(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, path := range []string{
		"/_plugins/_security/health?mode=strict",
		"/_cluster/health?wait_for_status=yellow&timeout=1s",
	} {
		status, _, err := s.Do(ctx, http.MethodGet, path, "")
		if err != nil || status != http.StatusOK {
			return false, nil // it is not up yet: the caller asks again
		}
	}
	return true, nil
}
