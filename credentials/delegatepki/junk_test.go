package delegatepki_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/pki"
)

// TestWhatLeadsNowhereMakesNoOtherToken: a client can send any certificates along, in any order, and each token costs the
// cluster a write.
func TestWhatLeadsNowhereMakesNoOtherToken(t *testing.T) {
	kind := newKind(t, newNode(t))
	client := newClient(t)
	plan, err := kind.Plan(client)
	require.NoError(t, err)
	junk := chainOf(t, pki.NewCA("junk").Client("junk").TLS)
	more := *client
	more.Chain = append(slices.Clone(client.Chain), junk...)
	other, err := kind.Plan(&more)
	require.NoError(t, err)
	require.Equal(t, plan.Key, other.Key)
}
