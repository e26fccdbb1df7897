package integration

import (
	"flag"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm/conformance"
)

var (
	differentialVerbose = flag.Bool("differential", false, "print each answer of the differential test")
	differentialRandom  = flag.Int("differential-random", 200, "how many random tokens the differential test sends")
	differentialSeed    = flag.Uint64("differential-seed", 1795363992950982920,
		"the seed of the random tokens; 0 takes the time")
)

// esrealm stands in for Elasticsearch in tests that need no Java, so the two must
// agree: each request of the conformance suite goes to both, and both must give
// the same status, the same headers and the same body, errors included. What
// they agree on must also be what the suite says.
func TestEsrealmAnswersAsElasticsearchDoes(t *testing.T) {
	for _, version := range versions(*elasticsearchVersions) {
		t.Run(version, func(t *testing.T) {
			real, fake := realWorld(t, version), esrealmWorld(t, version)
			t.Run("cases", func(t *testing.T) {
				for _, c := range conformance.Cases() {
					t.Run(c.Name, func(t *testing.T) { compareCase(t, real, fake, c) })
				}
			})
			// Before the scenarios, of which one leaves the realm with the file so that it answers
			// no failed signature any more.
			t.Run("random", func(t *testing.T) { compareRandom(t, real, fake) })
			t.Run("scenarios", func(t *testing.T) {
				for _, s := range conformance.Scenarios() {
					t.Run(s.Name, func(t *testing.T) { compareScenario(t, real, fake, s) })
				}
			})
			t.Run("the fetch of a JWK set", func(t *testing.T) {
				require.Equal(t, real.Keys.Client(), fake.Keys.Client())
			})
		})
	}
}

func compareCase(t *testing.T, real, fake conformance.World, c conformance.Case) {
	t.Helper()
	now := time.Now()
	want, err := real.Send(t.Context(), c, now)
	require.NoError(t, err, "Elasticsearch")
	got, err := fake.Send(t.Context(), c, now)
	require.NoError(t, err, "esrealm")
	if *differentialVerbose {
		t.Logf("Elasticsearch: %d %v", want.Status, want.Body)
	}
	assert.NoError(t, c.Check(real.Version, want), "Elasticsearch answers otherwise: %v", want.Body)
	sameAnswer(t, want, got)
}

// compareRandom sends tokens that nobody has thought of. What it finds becomes a
// case of the suite.
func compareRandom(t *testing.T, real, fake conformance.World) {
	t.Helper()
	seed := *differentialSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -differential-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range *differentialRandom {
		c := conformance.Random(r)
		now := time.Now()
		c.Token = c.Token.Fixed(now)
		want, err := real.Send(t.Context(), c, now)
		require.NoError(t, err, "Elasticsearch: %s", c.Name)
		got, err := fake.Send(t.Context(), c, now)
		require.NoError(t, err, "esrealm: %s", c.Name)
		if !reflect.DeepEqual(want, got) {
			t.Logf("%s\n%s", c.Name, c.Token.Text(now))
		}
		sameAnswer(t, want, got)
	}
}

func sameAnswer(t *testing.T, want, got *conformance.Answer) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Errorf("Elasticsearch: %d %v\n%v\nesrealm:       %d %v\n%v", want.Status, want.Header, want.Body, got.Status,
			got.Header, got.Body)
	}
}

func compareScenario(t *testing.T, real, fake conformance.World, s conformance.Scenario) {
	t.Helper()
	want, err := s.Run(t.Context(), real)
	require.NoError(t, err, "Elasticsearch")
	got, err := s.Run(t.Context(), fake)
	require.NoError(t, err, "esrealm")
	assert.NoError(t, s.Check(real.Version, want), "Elasticsearch goes through it otherwise")
	for i, step := range s.Steps {
		assert.Equal(t, want[i].Fetches, got[i].Fetches, "step %d (%s): fetches of the JWK set", i, step.Name)
		for j := range want[i].Answers {
			sameAnswer(t, want[i].Answers[j], got[i].Answers[j])
		}
	}
}
