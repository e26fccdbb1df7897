package apikey

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAStoredKeyOfNobodyIsJudgedByNobody: without a certificate there is nothing that could be denied.
func TestAStoredKeyOfNobodyIsJudgedByNobody(t *testing.T) {
	_, err := (&stored{Principal: "alice", Groups: []string{"ops"}}).client()
	require.ErrorContains(t, err, "no certificate")
	_, err = (&stored{Principal: "alice", Chain: [][]byte{{1}}}).client()
	require.Error(t, err)
}
