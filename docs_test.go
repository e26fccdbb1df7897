package esjwt_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// This file and docs_caddyfile_test.go compare the reference in docs/ with the code, in both directions:
// nothing that the code has may be missing there, and nothing may be there that the code does not have.

// page is a page of the manual, or a part of one.
type page struct {
	title string
	text  string
}

func readPage(t testing.TB, name string) page {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return page{name, string(text)}
}

// part is what stands below a heading, down to the next one of the same or a higher level.
func (p page) part(t testing.TB, title string) page {
	t.Helper()
	heading := regexp.MustCompile(`(?m)^(#+) ` + regexp.QuoteMeta(title) + `\n`).FindStringSubmatchIndex(p.text)
	require.NotNil(t, heading, "%s has no heading %q", p.title, title)
	rest := p.text[heading[1]:]
	level := heading[3] - heading[2]
	if end := regexp.MustCompile(`(?m)^#{1,` + string(rune('0'+level)) + `} `).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return page{p.title + ": " + title, rest}
}

// rows are the cells of all tables, without their heads.
func (p page) rows() [][]string {
	var rows [][]string
	var before string
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"), strings.HasPrefix(line, "|---"):
		case strings.HasPrefix(before, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			rows = append(rows, cells)
		}
		before = line
	}
	return rows
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// spans are the pieces of code in a text.
func spans(text string) []string {
	var all []string
	for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
		all = append(all, span[1])
	}
	return all
}

// firstSpans are the pieces of code in the first cells of all tables.
func (p page) firstSpans() []string {
	var all []string
	for _, row := range p.rows() {
		all = append(all, spans(row[0])...)
	}
	return all
}

// TestTheReadmeIsShort, so that a new operator reads it. The reference is in docs/.
func TestTheReadmeIsShort(t *testing.T) {
	require.LessOrEqual(t, len(strings.Fields(readPage(t, "README.md").text)), 1800)
}

func TestTheReadmeNamesEveryPage(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	readme := readPage(t, "README.md").part(t, "Where the rest is").text
	for _, name := range append(pages, "CONTRIBUTING.md", "CHANGELOG.md") {
		require.Contains(t, readme, "]("+name+")")
	}
}

// ---- placeholders --------------------------------------------------------------

var certPlaceholder = regexp.MustCompile(`\{cert\.[\w.]+\}`)

func TestTheManualHasEveryPlaceholder(t *testing.T) {
	document := readPage(t, "docs/placeholders.md")
	with := func(setting string) error {
		return blocks["elasticsearch_jwt"].adapt(examples["issuer"], examples["audience"], setting)
	}
	err := with("claim a {cert.nonsense}")
	require.Error(t, err)
	known, _, found := strings.Cut(err.Error(), " and {cert.issuer.cn}")
	require.True(t, found, err)
	var subject, issuer []string
	for _, placeholder := range certPlaceholder.FindAllString(strings.Replace(known, "{cert.nonsense}", "", 1), -1) {
		subject = append(subject, placeholder)
		of := strings.Replace(placeholder, "cert.", "cert.issuer.", 1)
		if with("claim a "+of) == nil {
			issuer = append(issuer, of)
		}
	}
	require.Contains(t, issuer, "{cert.issuer.cn}")
	require.ElementsMatch(t, append(subject, issuer...), document.part(t, "Of the certificate").firstSpans())

	for _, placeholder := range document.part(t, "Of the machine").firstSpans() {
		require.NoError(t, with("claim a "+placeholder), placeholder)
	}
	require.NoError(t, with(`header X-Token {jwt}`))
	require.Error(t, with(`claim a {jwt}`))
	require.Error(t, with(`header X-Token {jwt}{cert.cn}`))

	var set []string
	for _, placeholder := range document.part(t, "What the plugin sets").firstSpans() {
		set = append(set, strings.Trim(placeholder, "{}"))
	}
	require.ElementsMatch(t, inSource(t, `\.Set\("(http\.[\w.]+)"`), set)
}

// inSource finds what the source says, apart from tests and what is not the plugin.
func inSource(t *testing.T, pattern string) []string {
	t.Helper()
	others := []string{"integration", "bench", "example", "internal/testing"}
	expression := regexp.MustCompile(pattern)
	found := make(map[string]bool)
	require.NoError(t, filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(others, filepath.ToSlash(name)):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		for _, match := range expression.FindAllSubmatch(text, -1) {
			found[string(match[1])] = true
		}
		return err
	}))
	require.NotEmpty(t, found, pattern)
	return slices.Sorted(maps.Keys(found))
}

// ---- metrics, logs and events --------------------------------------------------

// handlerWithFiles is a handler that has read a file for each setting that can name one, and has let
// somebody in. The registry is that of its metrics.
func handlerWithFiles(t *testing.T) *prometheus.Registry {
	t.Helper()
	ca := newAuthority(t, "clients authority")
	settings, err := json.Marshal(map[string]any{
		"issuer":        "https://es.example.com",
		"audience":      []string{"https://elasticsearch.example.com:9200"},
		"trust_pool":    map[string]any{"provider": "file", "pem_files": []string{ca.file()}},
		"deny":          []string{ca.write("denied.txt", nil)},
		"crl":           []string{ca.write("clients.crl", revocationList(t, ca, time.Now().Add(time.Hour)))},
		"role_mapping":  ca.write("role_mapping.yml", []byte("reader: ['CN=alice']\n")),
		"shared_secret": "{file." + ca.write("secret", []byte("not-so-secret")) + "}",
	})
	require.NoError(t, err)
	h, registry := newHandlerOn(t, t.TempDir(), string(settings), `{"source":"storage","algorithm":"ES256"}`)
	next := handlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	require.NoError(t, h.ServeHTTP(httptest.NewRecorder(), referenceRequest(ca.client("alice").Leaf, ca.cert), next))
	return registry
}

var metricName = regexp.MustCompile(`\bcaddy_elasticsearch_jwt_\w+`)

// descriptor is how Prometheus shows a metric's name and labels.
var descriptor = regexp.MustCompile(`fqName: "(caddy_elasticsearch_jwt_\w+)".*variableLabels: \{([^}]*)\}`)

func TestTheManualHasEveryMetric(t *testing.T) {
	document := readPage(t, "docs/metrics.md")
	registry := handlerWithFiles(t)

	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	known := make(map[string][]string)
	for description := range descriptions {
		if match := descriptor.FindStringSubmatch(description.String()); match != nil {
			known[match[1]] = strings.FieldsFunc(match[2], func(r rune) bool { return r == ',' })
		}
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	types := make(map[string]string)
	values := make(map[string][]string) // of labels
	for _, family := range families {
		types[family.GetName()] = strings.ToLower(family.GetType().String())
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				of := strings.TrimPrefix(family.GetName(), "caddy_elasticsearch_jwt_") + " " + label.GetName()
				if !slices.Contains(values[of], label.GetValue()) {
					values[of] = append(values[of], label.GetValue())
				}
			}
		}
	}

	documented := make(map[string]string)
	for _, row := range document.part(t, "Metrics").rows() {
		name, ok := strings.CutPrefix(spans(row[0])[0], "caddy_")
		if !ok {
			continue // a table about something else
		}
		name = "caddy_" + name
		documented[name] = row[1]
		require.Contains(t, known, name, "docs/metrics.md has a metric that is none")
		require.ElementsMatch(t, known[name], spans(row[2]), name)
		if shown, ok := types[name]; ok {
			require.Equal(t, shown, row[1], name)
		}
		require.Equal(t, strings.HasSuffix(name, "_total"), row[1] == "counter", name)
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(known)), slices.Collect(maps.Keys(documented)))

	inRow := func(first string) []string {
		for _, row := range document.rows() {
			if row[0] == first {
				return spans(row[1])
			}
		}
		require.Fail(t, "docs/metrics.md has no row for "+first)
		return nil
	}
	require.ElementsMatch(t, values["requests_total result"], inRow("`result` of `requests_total`"))
	require.ElementsMatch(t, values["refused_handshakes_total reason"], inRow("`reason` of `refused_handshakes_total`"))
	require.ElementsMatch(t, values["jwks_requests_total result"], inRow("`result` of `jwks_requests_total`"))
	require.ElementsMatch(t, values["cluster_refusals_total status"], inRow("`status` of `cluster_refusals_total`"))
	settings := append(slices.Clone(values["unusable_sources setting"]), "credential") // which credentials/static has
	require.ElementsMatch(t, settings, inRow("`setting`"))
	require.ElementsMatch(t, values["key_failures_total reason"], document.part(t, "Failures of keys").firstSpans())
	requireMetricsOfTheManual(t, slices.Collect(maps.Keys(known)))
}

// requireMetricsOfTheManual checks the metrics in alerts and in text.
func requireMetricsOfTheManual(t *testing.T, known []string) {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, name := range append(pages, "README.md", "CHANGELOG.md") {
		for _, metric := range metricName.FindAllString(readPage(t, name).text, -1) {
			require.Contains(t, known, metric, name)
		}
	}
}

func TestTheManualHasEveryEvent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := newMemory().view(t)
		o := startOperated(t, replicaConfig{storage: v.config()})
		o.app.(*esjwt.App).Started()
		synctest.Wait()
		time.Sleep(time.Hour)
		o.revoke(o.signs())
		time.Sleep(time.Hour)
		v.set(func(v *view) { v.failure = os.ErrPermission })
		time.Sleep(time.Minute)

		sent := make(map[string][]string)
		for _, line := range o.logLines() {
			if line.Msg == "event" && strings.HasPrefix(line.Name, "elasticsearch_jwt.") {
				sent[line.Name] = slices.Sorted(maps.Keys(line.Data))
			}
		}
		documented := make(map[string][]string)
		for _, row := range readPage(t, "docs/metrics.md").part(t, "Events").rows() {
			documented[spans(row[0])[0]] = slices.Sorted(slices.Values(append(spans(row[1]), "keys")))
		}
		require.Equal(t, sent, documented)
	})
}

func TestTheManualHasEveryFieldOfTheLog(t *testing.T) {
	s := newSceneOf(t, strings.NewReplacer("{{settings}}", "", "reverse_proxy", "log\n\treverse_proxy").Replace(minimal))
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("alice")), "/").StatusCode)
	require.Equal(t, http.StatusForbidden, s.get(s.httpClient(s.clients.client("")), "/").StatusCode)
	var audit, access []string
	eventually(t, func() bool {
		audit, access = nil, nil
		for line := range strings.Lines(s.logs.String()) {
			var fields map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &fields))
			switch ours, ok := fields["elasticsearch_jwt"].(map[string]any); {
			case fields["msg"] == "token signed":
				audit = slices.Collect(maps.Keys(fields))
			case ok && strings.HasPrefix(fields["logger"].(string), "http.log.access"):
				access = append(access, slices.Collect(maps.Keys(ours))...)
			}
		}
		return len(audit) > 0 && slices.Contains(access, "kid") && slices.Contains(access, "reason")
	}, "the lines of both requests")
	access = append(access, "credential_id") // which TestTheAccessLogHasTheCredential sees
	document := readPage(t, "docs/metrics.md")
	common := []string{"level", "ts", "logger", "msg"}
	require.ElementsMatch(t, audit, append(common, document.part(t, "Caddy's log").fieldsOf("token signed")...))
	slices.Sort(access)
	require.ElementsMatch(t, slices.Compact(access), document.part(t, "The access log").firstSpans())

	for _, row := range document.part(t, "Caddy's log").rows() {
		if !strings.Contains(spans(row[0])[0], "elasticsearch_jwt") {
			continue
		}
		for _, line := range spans(row[1]) {
			inSource(t, `"(`+regexp.QuoteMeta(line)+`)`)
		}
	}
}

// fieldsOf are the fields in the table below the sentence about a line of the log.
func (p page) fieldsOf(line string) []string {
	_, after, _ := strings.Cut(p.text, "The line `"+line+"` has these fields:")
	return page{p.title, after}.firstSpans()
}

// ---- commands and the admin API ------------------------------------------------

// A line of a command's help about a flag, and the flag's default there.
var (
	flagUsage   = regexp.MustCompile(`^\s*(-\w)?,?\s*(--[\w-]+) `)
	flagDefault = regexp.MustCompile(`\(default "?([^")]+)"?\)`)
)

func TestTheManualHasEveryCommandAndFlag(t *testing.T) {
	document := readPage(t, "docs/commands.md")
	registered := caddycmd.Commands()["elasticsearch-jwt"]
	root := &cobra.Command{Use: registered.Name}
	registered.CobraFunc(root)

	var commands []string
	for _, command := range root.Commands() {
		commands = append(commands, command.Name())
		part := document.part(t, "`"+command.Name()+"`")
		documented := make(map[string]string) // rows by flag
		for _, row := range part.rows() {
			documented[strings.Join(spans(row[0]), " ")] = row[1]
		}
		for usage := range strings.Lines(command.Flags().FlagUsages()) {
			flag := flagUsage.FindStringSubmatch(usage)
			require.NotNil(t, flag, usage)
			name := strings.TrimSpace(flag[2] + " " + flag[1])
			require.Contains(t, documented, name, "docs/commands.md: %s", command.Name())
			if byDefault := flagDefault.FindStringSubmatch(usage); byDefault != nil {
				require.Contains(t, documented[name], "default `"+byDefault[1]+"`", "%s of %s", name, command.Name())
			}
			delete(documented, name)
		}
		require.Empty(t, documented, "docs/commands.md: %s has no such flags", command.Name())
		require.Contains(t, part.text, "caddy elasticsearch-jwt "+command.Name())
		for _, flag := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(part.text, -1) {
			require.NotNil(t, command.Flags().Lookup(flag[1]), "docs/commands.md: --%s of %s", flag[1], command.Name())
		}
	}
	overview, _, _ := strings.Cut(document.text, "\n## ")
	require.ElementsMatch(t, commands, page{"docs/commands.md", overview}.firstSpans())
	headings := regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(document.part(t, "The commands").text, -1)
	require.Len(t, headings, len(commands))
}

func TestTheManualHasEveryRouteOfTheAdminAPI(t *testing.T) {
	a := newAdministered(t, manySources)
	var documented []string // paths
	for _, route := range readPage(t, "docs/commands.md").part(t, "The admin API").firstSpans() {
		method, path, found := strings.Cut(route, " ")
		if !found {
			continue // a table about something else
		}
		documented = append(documented, path)
		path = strings.Replace(path, "<set>", "default", 1)
		status, header, _ := a.request(http.MethodPut, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, status, path)
		require.Equal(t, method, header.Get("Allow"), path)
	}
	module, err := caddy.GetModule("admin.api.elasticsearch_jwt")
	require.NoError(t, err)
	for _, route := range module.New().(caddy.AdminRouter).Routes() {
		below := func(path string) bool { return strings.HasPrefix(path, route.Pattern) }
		require.True(t, slices.ContainsFunc(documented, below), route.Pattern)
	}
}

func TestTheManualHasEveryMemberOfAnAnswer(t *testing.T) {
	document := readPage(t, "docs/commands.md")
	set := document.part(t, "A key set")
	inSet, inKey, found := strings.Cut(set.text, "\nA key:\n")
	require.True(t, found)
	require.ElementsMatch(t, members[esjwt.SetStatus](), page{set.title, inSet}.firstSpans())
	require.ElementsMatch(t, members[esjwt.KeyStatus](), page{set.title, inKey}.firstSpans())
	_, rotation, found := strings.Cut(readPage(t, "docs/keys.md").text,
		"With `--json`, `rotate` and `revoke` print one object")
	require.True(t, found)
	rotation, _, _ = strings.Cut(rotation, "\n## ")
	require.ElementsMatch(t, members[keys.Rotation](), page{"docs/keys.md", rotation}.firstSpans())

	a := newAdministered(t, manySources)
	explained := make(map[string]bool)
	for _, name := range []string{"alice", ""} {
		certificate := a.clients.client(name, "analysts")
		body := string(pemOf(certificate.Certificate[0]))
		status, _, body := a.request(http.MethodPost, "/elasticsearch_jwt/explain", body)
		require.Equal(t, http.StatusOK, status, body)
		var explanations []map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &explanations))
		for member := range explanations[0] {
			explained[member] = true
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(explained)), document.part(t, "An explanation").firstSpans())
}

// members are the names of a struct's fields in JSON.
func members[T any]() []string { return membersOf(reflect.TypeFor[T]()) }

func membersOf(of reflect.Type) []string {
	var names []string
	for field := range of.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && !field.Anonymous {
			names = append(names, name)
		}
	}
	return names
}
