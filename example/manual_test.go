package example_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// manual are the README and the other documents, by their paths.
func manual(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	texts := make(map[string]string)
	for _, name := range append(names, "../README.md", "../SECURITY.md", "../CHANGELOG.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[name] = string(text)
	}
	return texts
}

var (
	caddyfileBlock = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

	modeThatVerifiesNothing = regexp.MustCompile(`(?m)^\s*mode (request|require)\b`)
	handlerBlock            = regexp.MustCompile(`(?m)^\telasticsearch_jwt \{`)

	markdownLink  = regexp.MustCompile(`\]\(([^)]+)\)`)
	markdownTitle = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fencedBlock   = regexp.MustCompile("(?s)```.*?\n```")
	notInAnchors  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	testName      = regexp.MustCompile(`\bTest[A-Z]\w+`)
	testFunction  = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
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

// TestSitesInTheManualVerifyTheirClients: where client_auth verifies nothing, the handler must, or nobody gets in.
func TestSitesInTheManualVerifyTheirClients(t *testing.T) {
	found := 0
	for name, text := range manual(t) {
		for _, block := range caddyfileBlock.FindAllStringSubmatch(text, -1) {
			if modeThatVerifiesNothing.MatchString(block[1]) && handlerBlock.MatchString(block[1]) {
				require.Regexp(t, `(?m)^\s*trust_pool `, block[1], name)
				found++
			}
		}
	}
	require.NotZero(t, found)
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
			require.Contains(t, anchors(manual(t)[target]), anchor, "%s: %s", name, link[1])
		}
	}
}

// anchors are the names that GitHub gives to the headings of a page.
func anchors(text string) []string {
	var names []string
	seen := make(map[string]int)
	for _, title := range markdownTitle.FindAllStringSubmatch(fencedBlock.ReplaceAllString(text, ""), -1) {
		name := strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(title[1]), ""), " ", "-")
		if n := seen[name]; n > 0 {
			names = append(names, fmt.Sprintf("%s-%d", name, n))
		} else {
			names = append(names, name)
		}
		seen[name]++
	}
	return names
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
	for _, name := range []string{"Dockerfile", "../keys/kms/uri.go", "../keys/kms/kms.go"} {
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
	require.Contains(t, texts["../keys/kms/uri.go"], `const cryptoVersion = "`+crypto+`"`, "what an error advises")
}
