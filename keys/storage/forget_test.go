package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// TestKeysThatRetiredLongAgoAreDeleted: a set that rotates for years does not grow.
func TestKeysThatRetiredLongAgoAreDeleted(t *testing.T) {
	s := newForgetful(t)
	root := s.folder.storage.(*certmagic.FileStorage).Path
	start, most := time.Now(), 0
	for day := range 2 * 365 {
		records, err := keysOf(t, s, keys.Needs{Now: start.AddDate(0, 0, day), Lifetime: time.Hour})
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
	records, err := keysOf(t, s, keys.Needs{Now: now, Lifetime: time.Hour})
	require.NoError(t, err)
	inUse := kids(records)
	for day := range 10 {
		_, err := keysOf(t, s, keys.Needs{Now: now.AddDate(1, 0, day), Lifetime: time.Hour})
		require.NoError(t, err)
	}
	records, err = keysOf(t, s, keys.Needs{Now: now.Add(time.Hour), Lifetime: time.Hour})
	require.NoError(t, err)
	require.Subset(t, kids(records), inUse)
}

func newForgetful(t *testing.T) *Source {
	t.Helper()
	s := &Source{
		Algorithm: "ES256",
		logger:    zap.NewNop(),
	}
	s.setFolder(newFolder(&certmagic.FileStorage{Path: t.TempDir()}, zap.NewNop()))
	s.SetName("default")
	require.NoError(t, s.check())
	s.setDefaults()
	return s
}

// keysOf are the keys of a source, once it has the lock that it needs to make those that are missing.
func keysOf(t testing.TB, s *Source, needs keys.Needs) ([]keys.Timed, error) {
	t.Helper()
	for {
		answer, err := s.Keys(t.Context(), needs)
		if err != nil || answer.Waiting == nil {
			return answer.Timed, err
		}
		select {
		case <-answer.Waiting.Over:
		case <-time.After(answer.Waiting.Again):
		}
	}
}
