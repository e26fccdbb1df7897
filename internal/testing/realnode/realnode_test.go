package realnode

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode/process"
)

func TestJavaVersionIsTheFeatureNumber(t *testing.T) {
	for output, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`:         17,
		`openjdk version "25.0.3" 2026-04-21 LTS`:      25,
		`openjdk version "21" 2023-09-19`:              21,
		`openjdk version "26-ea" 2026-03-17`:           26,
		`java version "1.8.0_392"`:                     8,
		"Picked up X: y\nopenjdk version \"11.0.2\" z": 11,
	} {
		got, err := parseJavaVersion(output)
		require.NoError(t, err, output)
		require.Equal(t, want, got, output)
	}
	for _, output := range []string{"", "bash: java: command not found", `version "x"`} {
		_, err := parseJavaVersion(output)
		require.Error(t, err, output)
	}
}

func TestJavaRange(t *testing.T) {
	open, closed := javaRange{min: 21}, javaRange{min: 11, max: 23}
	require.True(t, open.has(25))
	require.False(t, open.has(17))
	require.True(t, closed.has(23))
	require.False(t, closed.has(24))
	require.Equal(t, "21 or later", open.String())
	require.Equal(t, "11 to 23", closed.String())
}

func TestMajorVersionWantsAWholeVersion(t *testing.T) {
	got, err := majorVersion("9.2.0")
	require.NoError(t, err)
	require.Equal(t, 9, got)
	for _, version := range []string{"", "9", "9.2", "9.2.x", "9.2.-1", "9.2.0-SNAPSHOT", "../../9.2.0"} {
		_, err := majorVersion(version)
		require.ErrorContains(t, err, "write all of it", version)
	}
}

func TestSettingsAreTheNodesOwnThenTheCallers(t *testing.T) {
	got := renderSettings(map[string]any{"b.name": "x: y", "a.port": 9200, "c.on": true, "d.list": []string{"CN=a,O=b"}}, `
		xpack.security.authc.realms.jwt.jwt1:
		  order: 1
		  claims.principal: sub
	`)
	require.Equal(t, `a.port: 9200
b.name: "x: y"
c.on: true
d.list: ["CN=a,O=b"]
xpack.security.authc.realms.jwt.jwt1:
  order: 1
  claims.principal: sub
`, got)
	require.Equal(t, "a: 1\n", renderSettings(map[string]any{"a": 1}, " \n\t\n"))
}

func TestHostsFileKeepsLocalhost(t *testing.T) {
	require.Equal(t, "127.0.0.1 localhost\n127.0.0.1 a.example\n127.0.0.2 b.example\n",
		renderHosts(map[string]string{"b.example": "127.0.0.2", "a.example": "127.0.0.1"}))
}

func TestOperatorSettings(t *testing.T) {
	got, err := renderOperatorSettings(3, map[string]RoleMapping{
		"analysts": GroupMapping("jwt1", "analysts", "viewer", "reader"),
	})
	require.NoError(t, err)
	require.JSONEq(t, `{
		"metadata": {"version": "3", "compatibility": "8.4.0"},
		"state": {"role_mappings": {"analysts": {
			"enabled": true,
			"roles": ["viewer", "reader"],
			"rules": {"all": [{"field": {"realm.name": "jwt1"}}, {"field": {"groups": "analysts"}}]}
		}}}
	}`, string(got))
}

func TestReservedStateSaysWhetherTheMappingsArrived(t *testing.T) {
	const prefix = `{"metadata":{"reserved_state":{"file_settings":`
	for body, want := range map[string]bool{
		prefix + `{"version":2,"errors":null}}}}`:                           true,
		prefix + `{"version":1,"errors":null}}}}`:                           false,
		prefix + `{"version":1,"errors":{"version":1,"errors":["old"]}}}}}`: false,
		`{}`: false,
	} {
		got, err := parseReservedState([]byte(body), 2)
		require.NoError(t, err, body)
		require.Equal(t, want, got, body)
	}
	_, err := parseReservedState([]byte(prefix+`{"version":1,"errors":{"version":2,"errors":["no role"]}}}}}`), 2)
	require.ErrorContains(t, err, "no role")
}

func TestFileRealmFiles(t *testing.T) {
	passwords, roles, err := renderUsers([]User{
		{Name: "admin", Password: "s3cret", Roles: []string{"superuser"}},
		{Name: "eve", Password: "other", Roles: []string{"viewer", "superuser"}},
	})
	require.NoError(t, err)
	require.Regexp(t, `^admin:\{PBKDF2\}1000\$[A-Za-z0-9+/]{43}=\$[A-Za-z0-9+/]{43}=\neve:\{PBKDF2\}1000\$.*\n$`,
		passwords)
	require.NotContains(t, passwords, "s3cret")
	require.Equal(t, "superuser:admin,eve\nviewer:eve\n", roles)
}

func TestArtifactHasItsPlaceInARepository(t *testing.T) {
	a := artifact{group: "org.example.zip", id: "node", version: "1.2.3", extension: "zip"}
	require.Equal(t, "org.example.zip:node:1.2.3:zip", a.String())
	require.Equal(t, filepath.FromSlash("org/example/zip/node/1.2.3/node-1.2.3.zip"), a.path())
}

func TestMavenSettingsNameTheRepository(t *testing.T) {
	t.Setenv("REALNODE_TEST_REPOSITORY", "/elsewhere")
	for settings, want := range map[string]string{
		`<settings><localRepository>/big/m2</localRepository></settings>`:                         "/big/m2",
		`<settings xmlns="urn:x"><localRepository> ${user.home}/m2 </localRepository></settings>`: "/home/u/m2",
		`<settings><localRepository>${env.REALNODE_TEST_REPOSITORY}</localRepository></settings>`: "/elsewhere",
		`<settings><offline>true</offline></settings>`:                                            "",
		`not xml`: "",
	} {
		require.Equal(t, want, parseLocalRepository([]byte(settings), "/home/u"), settings)
	}
}

func TestDamagedDownloadIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.zip")
	require.ErrorIs(t, checkWhole(path), os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	require.NoError(t, checkWhole(path), "Maven keeps no checksum of what it made itself")
	require.NoError(t, os.WriteFile(path+".sha1", []byte("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d  x.zip\n"), 0o600))
	require.NoError(t, checkWhole(path))
	require.NoError(t, os.WriteFile(path, []byte("hell"), 0o600))
	require.ErrorContains(t, checkWhole(path), "not whole")

	err := unpack(path, t.TempDir(), withoutFirstFolder)
	require.Error(t, err)
	require.True(t, damaged(err))
}

func TestFailureLeavesOutWhatWentWell(t *testing.T) {
	log := "[2026][INFO ][o.e.Node] started something\n" +
		"[2026][ERROR][o.e.Node] fatal exception\n" +
		"\tat org.example.Node(Node.java:1)\n" +
		"Caused by: java.io.IOException: no keys\n" +
		"\t... 12 more\n"
	require.Equal(t, "[2026][ERROR][o.e.Node] fatal exception\nCaused by: java.io.IOException: no keys", failure(log))
	require.Equal(t, "[2026][INFO ][o.e.Node] alone", failure("[2026][INFO ][o.e.Node] alone\n"))
}

func TestSecurityPluginGoesWhereItsInstallerPutsIt(t *testing.T) {
	require.Equal(t, "config/opensearch-security/roles.yml", securityPluginPath("config/roles.yml"))
	require.Equal(t, "plugins/opensearch-security/guava.jar", securityPluginPath("guava.jar"))
	require.Equal(t, "plugins/opensearch-security/tools/hash.sh", securityPluginPath("tools/hash.sh"))
}

func TestPluginExtendsOnlyWhatTheDistributionHas(t *testing.T) {
	has := func(module string) bool { return module == "present" }
	for descriptor, want := range map[string]struct {
		changed string
		missing []string
	}{
		"name=x\nextended.plugins=\nend=1":              {"name=x\nextended.plugins=\nend=1", nil},
		"extended.plugins=present":                      {"extended.plugins=present", nil},
		"extended.plugins=workload;optional=true,rules": {"extended.plugins=", []string{"workload", "rules"}},
		"extended.plugins=rules, present;optional=true\nend=1": {
			"extended.plugins= present;optional=true\nend=1", []string{"rules"},
		},
		"# 'extended.plugins': other plugins that it needs\nend=1": {
			"# 'extended.plugins': other plugins that it needs\nend=1", nil,
		},
	} {
		changed, missing := withoutMissingModules(descriptor, has)
		require.Equal(t, want.changed, changed)
		require.Equal(t, want.missing, missing)
	}
}

func TestMissingJDKSaysWhatToInstall(t *testing.T) {
	t.Setenv("JAVA_HOME", t.TempDir())
	_, err := findJDK(t.Context(), javaRange{min: 999}, process.Account{})
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, "missing: a JDK, version 999 or later")
	require.ErrorContains(t, err, "set ES_JAVA_HOME")
	require.ErrorContains(t, err, "(JAVA_HOME): is not a whole JDK")
}
