package esjwt_test

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/oddcert"
)

// What Go makes of odd certificates is as the table of docs/from-the-pki-realm.md says, which has
// those of which Java thinks otherwise. Java's side is tried in integration/certificates_test.go.
func TestWhatJavaTakesAndGoRefuses(t *testing.T) {
	cases, root := oddcert.Cases()
	pool := filepath.Join(t.TempDir(), "root.pem")
	require.NoError(t, os.WriteFile(pool, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600))
	s := newSceneOf(t, ownPool, "{{clients}}", pool, "{{settings}}", "groups off")
	documented := map[string]string{}
	for _, c := range cases {
		got := oddcert.Takes
		switch s.sends(tls.Certificate{Certificate: c.Chain, PrivateKey: oddcert.Key()}) {
		case "no handshake":
			got = oddcert.NoHandshake
		case "unverified":
			got = oddcert.Unverified
		}
		assert.Equal(t, c.Go, got, c.What)
		if c.Java != (c.Go == oddcert.Takes) {
			java := "refuses"
			if c.Java {
				java = "takes"
			}
			documented[c.What] = java + " | " + string(c.Go)
		}
	}
	assert.Equal(t, documented, rowsOfTheDocument(t))
}

// rowsOfTheDocument are those of the table, without what to do.
func rowsOfTheDocument(t *testing.T) map[string]string {
	text, err := os.ReadFile("docs/from-the-pki-realm.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| certificate | Java | Go | what to do |\n|---|---|---|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]string{}
	for row := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(row, "|\n "), " | ")
		require.Len(t, cells, 4, row)
		rows[cells[0]] = cells[1] + " | " + cells[2]
	}
	return rows
}
