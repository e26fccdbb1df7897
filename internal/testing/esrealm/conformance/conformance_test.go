package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
)

// The versions whose answers are known.
var versions = []string{"8.17.0", "9.2.0"}

func newRealm(t *testing.T, version string) *Realm {
	t.Helper()
	r, err := NewRealm(version)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

func TestEsrealmGivesTheAnswersOfRealNodes(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			r := newRealm(t, version)
			for _, c := range Cases() {
				t.Run(c.Name, func(t *testing.T) {
					answer, err := r.Send(t.Context(), c, time.Now())
					require.NoError(t, err)
					require.NoError(t, c.Check(version, answer), "%v", answer.Body)
				})
			}
		})
	}
}

func TestEsrealmGoesThroughScenariosAsRealNodesDo(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			shared := newRealm(t, version)
			for _, s := range Scenarios() {
				if s.waits() && version != esrealm.DefaultVersion {
					continue // it takes time, and is the same with all versions
				}
				t.Run(s.Name, func(t *testing.T) {
					r := shared
					if s.waits() {
						t.Parallel()
						r = newRealm(t, version)
					}
					results, err := s.Run(t.Context(), r.World)
					require.NoError(t, err)
					require.NoError(t, s.Check(version, results))
				})
			}
		})
	}
}

// waits reports whether a scenario takes time.
func (s *Scenario) waits() bool {
	return slices.ContainsFunc(s.Steps, func(s Step) bool {
		return s.Sleep > 0 || s.Want.Hangs || (s.Keys != nil && s.Keys.Delay > 0)
	})
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		require.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
	}
	t.Logf("%d cases", len(seen))
	for _, s := range Scenarios() {
		require.False(t, seen[s.Name], s.Name)
		seen[s.Name] = true
	}
}
