package esjwt

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestKeysThatRetiredLongAgoAreDeleted: a set that rotates for years does not grow.
func TestKeysThatRetiredLongAgoAreDeleted(t *testing.T) {
	s := newForgetful(t)
	root := s.stored.storage.(*certmagic.FileStorage).Path
	start, most := time.Now(), 0
	for day := range 2 * 365 {
		records, err := s.Keys(t.Context(), KeyNeeds{Now: start.AddDate(0, 0, day), Lifetime: time.Hour})
		require.NoError(t, err)
		files, err := os.ReadDir(filepath.Join(root, "elasticsearch_jwt", "default"))
		require.NoError(t, err)
		require.Len(t, files, len(records), "what is deleted is forgotten, and nothing else")
		most = max(most, len(files))
	}
	require.Equal(t, 5, most, "the signing key, its successor, and the three before")
}

// TestAClockThatIsFarAheadDeletesNoKeyInUse: not even one that is a year ahead, for days.
func TestAClockThatIsFarAheadDeletesNoKeyInUse(t *testing.T) {
	s := newForgetful(t)
	now := time.Now()
	records, err := s.Keys(t.Context(), KeyNeeds{Now: now, Lifetime: time.Hour})
	require.NoError(t, err)
	inUse := kids(records)
	for day := range 10 {
		_, err := s.Keys(t.Context(), KeyNeeds{Now: now.AddDate(1, 0, day), Lifetime: time.Hour})
		require.NoError(t, err)
	}
	records, err = s.Keys(t.Context(), KeyNeeds{Now: now.Add(time.Hour), Lifetime: time.Hour})
	require.NoError(t, err)
	require.Subset(t, kids(records), inUse)
}

func newForgetful(t *testing.T) *StorageKeys {
	t.Helper()
	s := &StorageKeys{
		Algorithm: "ES256",
		logger:    zap.NewNop(),
	}
	s.setStored(newStoredKeys(&certmagic.FileStorage{Path: t.TempDir()}, zap.NewNop()))
	s.setName("default")
	require.NoError(t, s.check())
	s.setDefaults()
	return s
}
