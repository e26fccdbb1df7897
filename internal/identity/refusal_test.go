package identity

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryReasonIsDocumented with the status that it has.
func TestEveryReasonIsDocumented(t *testing.T) {
	content, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	var documented, known []string
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `(\\w+)`").FindAllStringSubmatch(string(content), -1) {
		documented = append(documented, row[1]+" "+row[2])
	}
	for _, r := range Reasons {
		known = append(known, fmt.Sprintf("%d %s", r.Status(), r))
	}
	require.ElementsMatch(t, known, documented)
}
