package realnode

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// renderSettings returns a settings file: first the node's own settings, sorted, one on
// each line, then the caller's lines as they are.
func renderSettings(own map[string]any, extra string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(own)) {
		// JSON is YAML, in which all strings are quoted.
		value, err := json.Marshal(own[name])
		if err != nil {
			panic(fmt.Sprintf("setting %s: %v", name, err))
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	if extra = strings.TrimSpace(dedent(extra)); extra != "" {
		b.WriteString(extra)
		b.WriteByte('\n')
	}
	return b.String()
}

// dedent removes the indentation that all lines share, so that callers can
// indent YAML like the code around it.
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	shared := -1
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, "\t "))
		if shared < 0 || indent < shared {
			shared = indent
		}
	}
	if shared <= 0 {
		return text
	}
	for i, line := range lines {
		lines[i] = line[min(shared, len(line)):]
	}
	return strings.Join(lines, "\n")
}

// renderHosts returns a hosts file for the JDK's resolver, which then does not use the
// DNS.
func renderHosts(hosts map[string]string) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		fmt.Fprintf(&b, "%s %s\n", hosts[name], name)
	}
	return b.String()
}
