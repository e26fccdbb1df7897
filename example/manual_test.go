package example_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/stretchr/testify/require"
)

// manual are the README and the other documents, by their paths.
func manual(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	texts := make(map[string]string)
	for _, name := range append(names, "../README.md", "../SECURITY.md", "../CHANGELOG.md") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[name] = string(text)
	}
	return texts
}

var (
	caddyfileBlock = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	markdownLink   = regexp.MustCompile(`\]\(([^)]+)\)`)
	markdownTitle  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	testName       = regexp.MustCompile(`\bTest[A-Z]\w+`)
	testFunction   = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	knownSettings  = regexp.MustCompile(`use one of (.*), at `)
)

func TestCaddyfilesInTheManualAdapt(t *testing.T) {
	found := 0
	for name, text := range manual(t) {
		for _, block := range caddyfileBlock.FindAllStringSubmatch(text, -1) {
			adapt(t, name, block[1])
			found++
		}
	}
	require.NotZero(t, found)
}

// TestTheManualHasEverySetting asks for the settings with one that does not exist.
func TestTheManualHasEverySetting(t *testing.T) {
	readme := manual(t)["../README.md"]
	for of, caddyfile := range map[string]string{
		"elasticsearch_jwt":          "example.com {\n\telasticsearch_jwt {\n\t\t?\n\t}\n}\n",
		"elasticsearch_jwks":         "example.com {\n\telasticsearch_jwks {\n\t\t?\n\t}\n}\n",
		"the global option":          "{\n\telasticsearch_jwt {\n\t\t?\n\t}\n}\n",
		"the key source storage":     "{\n\telasticsearch_jwt {\n\t\tkeys a storage {\n\t\t\t?\n\t\t}\n\t}\n}\n",
		"the key source file":        "{\n\telasticsearch_jwt {\n\t\tkeys a file {\n\t\t\t?\n\t\t}\n\t}\n}\n",
		"the key source secret":      "{\n\telasticsearch_jwt {\n\t\tkeys a secret {\n\t\t\t?\n\t\t}\n\t}\n}\n",
		"the key source kms":         "{\n\telasticsearch_jwt {\n\t\tkeys a kms {\n\t\t\t?\n\t\t}\n\t}\n}\n",
		"the key sources themselves": "{\n\telasticsearch_jwt {\n\t\tkeys a ?\n\t}\n}\n",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
		require.Error(t, err, of)
		known := knownSettings.FindStringSubmatch(err.Error())
		require.NotNil(t, known, "%s: %v", of, err)
		for setting := range strings.SplitSeq(known[1], ", ") {
			row := regexp.MustCompile("(?m)^\\| (– )?`(keys <name> )?" + regexp.QuoteMeta(setting) + "\\b")
			require.True(t, row.MatchString(readme), "README.md has no row for %s of %s", setting, of)
		}
	}
}

func TestLinksOfTheManualLeadSomewhere(t *testing.T) {
	for name, text := range manual(t) {
		for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link[1], "#")
			target := filepath.Join(filepath.Dir(name), file)
			if file == "" {
				target = name
			}
			require.FileExists(t, noFolder(target), "%s: %s", name, link[1])
			if anchor == "" {
				continue
			}
			var anchors []string
			for _, title := range markdownTitle.FindAllStringSubmatch(manual(t)[target], -1) {
				anchors = append(anchors, strings.ReplaceAll(strings.ToLower(title[1]), " ", "-"))
			}
			require.Contains(t, anchors, anchor, "%s: %s", name, link[1])
		}
	}
}

// noFolder is a file in the folder that a link leads to.
func noFolder(name string) string {
	if entries, err := os.ReadDir(name); err == nil && len(entries) > 0 {
		return filepath.Join(name, entries[0].Name())
	}
	return name
}

func TestTestsThatTheManualNamesExist(t *testing.T) {
	var exist []string
	require.NoError(t, filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, function := range testFunction.FindAllSubmatch(text, -1) {
			exist = append(exist, string(function[1]))
		}
		return err
	}))
	for name, text := range manual(t) {
		for _, named := range testName.FindAllString(text, -1) {
			require.True(t, slices.Contains(exist, named), "%s names %s, which is no test", name, named)
		}
	}
}

var (
	withPlugin  = regexp.MustCompile(`--with (go\.step\.sm/crypto/kms/\w+)(@v[0-9]+\.[0-9]+\.[0-9]+)?`)
	xcaddyBuild = regexp.MustCompile(`xcaddy build (v[0-9]\S*)`)
	caddyImage  = regexp.MustCompile(`caddy:([0-9.]+)`)
)

// TestTheManualPinsWhatItBuilds: without a version xcaddy takes the newest one of the day, which need
// not build with this Caddy. (go.step.sm/crypto v0.92.0 did not build with Caddy v2.11.9.)
func TestTheManualPinsWhatItBuilds(t *testing.T) {
	texts := manual(t)
	for _, name := range []string{"Dockerfile", "../kmsuri.go", "../keys_kms.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[name] = string(text)
	}
	goMod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	required := func(module string) string {
		version := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(goMod)
		require.NotNil(t, version, "go.mod has no %s", module)
		return string(version[1])
	}
	caddy, crypto := required("github.com/caddyserver/caddy/v2"), required("go.step.sm/crypto")
	builds, plugins := 0, 0
	for name, text := range texts {
		for _, build := range xcaddyBuild.FindAllStringSubmatch(text, -1) {
			require.Equal(t, caddy, build[1], name)
			builds++
		}
		for _, image := range caddyImage.FindAllStringSubmatch(text, -1) {
			require.Equal(t, caddy, "v"+image[1], name)
		}
		for _, plugin := range withPlugin.FindAllStringSubmatch(text, -1) {
			require.Equal(t, "@"+crypto, plugin[2], "%s: %s", name, plugin[1])
			plugins++
		}
	}
	require.NotZero(t, builds)
	require.NotZero(t, plugins)
	require.Contains(t, texts["../kmsuri.go"], `const kmsVersion = "`+crypto+`"`, "what an error advises")
}
