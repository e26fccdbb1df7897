package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	elasticsearch8 "github.com/elastic/go-elasticsearch/v8"
	elasticsearch9 "github.com/elastic/go-elasticsearch/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/conformance"
)

// The official clients check that they talk to Elasticsearch; esrealm passes.
func TestOfficialClientsTakeEsrealmForElasticsearch(t *testing.T) {
	for _, version := range []string{"8.17.0", "9.2.0"} {
		t.Run(version, func(t *testing.T) {
			node, err := conformance.NewRealm(version)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, node.Close()) })
			as := func(name string) official { return officialOf(t, node, version, name, name+"-password") }

			const index, count = "logs-official", 300
			documents := make([]string, count)
			for i := range documents {
				documents[i] = fmt.Sprintf(`{"item":"item %d","price":%d}`, i, i%100)
			}
			created, failed := as("bobby").bulk(t, index, documents)
			require.EqualValues(t, count, created)
			require.Zero(t, failed)

			status, text := as("bob").search(t, index)
			require.Equal(t, http.StatusOK, status, text)
			require.Contains(t, text, fmt.Sprintf(`"total":{"value":%d,"relation":"eq"}`, count))

			created, failed = as("bob").bulk(t, index, documents[:10])
			require.Zero(t, created, "who reads may not write")
			require.EqualValues(t, 10, failed)
			status, _ = as("plain").search(t, index)
			require.Equal(t, http.StatusForbidden, status)
		})
	}
}

// officialOf is the client of the version, for a user of the file realm.
func officialOf(t *testing.T, node *conformance.Realm, version, username, password string) official {
	t.Helper()
	address := "https://" + node.Address
	authority := node.Authority.PEM()
	if strings.HasPrefix(version, "8.") {
		client, err := elasticsearch8.NewClient(elasticsearch8.Config{
			Addresses: []string{address}, CACert: authority, Username: username, Password: password,
		})
		require.NoError(t, err)
		return official8{client}
	}
	client, err := elasticsearch9.New(
		elasticsearch9.WithAddresses(address), elasticsearch9.WithCACert(authority),
		elasticsearch9.WithBasicAuth(username, password),
	)
	require.NoError(t, err)
	return official9{client}
}
