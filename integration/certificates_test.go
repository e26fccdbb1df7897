package integration

import (
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/oddcert"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/realnode"
)

// What Java makes of odd certificates is as the table of docs/from-the-pki-realm.md says. Go's side
// is tried in the root package.
func TestWhatJavaTakesAndGoRefuses(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		err = &realnode.MissingError{What: "java", How: "install a JDK"}
	}
	requireReal(t, err)

	cases, root := oddcert.Cases()
	chains := []string{base64.StdEncoding.EncodeToString(root)}
	for _, c := range cases {
		var chain []string
		for _, der := range c.Chain {
			chain = append(chain, base64.StdEncoding.EncodeToString(der))
		}
		chains = append(chains, strings.Join(chain, " "))
	}
	command := exec.CommandContext(t.Context(), java, "testdata/Certificates.java")
	command.Stdin = strings.NewReader(strings.Join(chains, "\n") + "\n")
	output, err := command.Output()
	require.NoError(t, err)
	answers := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	require.Len(t, answers, len(cases))
	for i, c := range cases {
		assert.Equal(t, c.Java, answers[i] == "yes", "%s: %s", c.What, answers[i])
	}
}
