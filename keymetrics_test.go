package esjwt_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
)

// keyMetrics are the samples of a replica's key sets, by name without its prefix and labels.
func (r *replica) keyMetrics() map[string]float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	samples := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if len(labels) == 0 || m.GetLabel()[0].GetName() != "keys" {
				continue
			}
			name := strings.TrimPrefix(f.GetName(), "caddy_elasticsearch_jwt_") + " " + strings.Join(labels, " ")
			samples[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return samples
}

// counted is how often a failure of the default set was counted.
func (r *replica) counted(reason string) float64 {
	r.t.Helper()
	samples := r.keyMetrics()
	require.Contains(r.t, samples, "key_failures_total default "+reason)
	return samples["key_failures_total default "+reason]
}

func TestMetricsShowHowOldAKeyIsAndWhenItRotates(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		start := time.Now()
		shared := newMemory()
		r := startReplica(t, replicaConfig{storage: shared.view(t).config(), keys: storageKeys(`,"rotate_every":"2h"`)})
		follower := startReplica(t, replicaConfig{
			storage: shared.view(t).config(),
			keys:    storageKeys(`,"rotate_every":"2h"`),
		})
		settle() // one of them waits for the other's lock
		for turn := range 5 {
			for _, r := range []*replica{r, follower} {
				m := r.keyMetrics()
				require.InDelta(t, start.Add(time.Duration(max(0, turn-1))*2*time.Hour).Unix(),
					m["signing_key_created_timestamp_seconds default"], 60, "a successor, once its predecessor signed")
				require.InDelta(t, start.Add(time.Duration(turn+1)*2*time.Hour).Unix(),
					m["next_rotation_timestamp_seconds default"], 60)
				require.InDelta(t, turn, m["key_rotations_total default"], 0)
				require.InDelta(t, len(r.kids()), m["published_keys default"], 0)
			}
			time.Sleep(time.Until(start.Add(time.Duration(turn+1)*2*time.Hour + soon)))
		}
		for sample, n := range r.keyMetrics() {
			if strings.HasPrefix(sample, "key_failures_total") {
				require.Zero(t, n, sample)
			}
		}
	})
}

// TestMetricsOfKeysWithoutATime: what is not known has no sample, and not the beginning of time.
func TestMetricsOfKeysWithoutATime(t *testing.T) {
	for name, c := range map[string]struct {
		keys string
		want []string
	}{
		"a file": {
			fmt.Sprintf(`{"source":"file","files":[%q]}`, keyFile(t, rsaKey())),
			[]string{"published_keys", "key_rotations_total"},
		},
		"a secret": {
			fmt.Sprintf(`{"source":"secret","secret":"{file.%s}"}`, writeFile(t, "secret", []byte(strings.Repeat("s", 32)))),
			[]string{"key_rotations_total"},
		},
		"keys rotated by a person": {
			`{"source":"storage","algorithm":"ES256","rotate_every":-1}`,
			[]string{"signing_key_created_timestamp_seconds", "published_keys", "key_rotations_total"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				jwks := ""
				keys := map[string]string{"default": c.keys}
				if name == "a secret" {
					keys["other"], jwks = `{"source":"storage","algorithm":"ES256"}`, `"keys":["other"]`
				}
				r := startReplica(t, replicaConfig{storage: newMemory().view(t).config(), keys: keys, jwks: jwks})
				synctest.Wait()
				var names []string
				for sample := range r.keyMetrics() {
					if name, ok := strings.CutSuffix(sample, " default"); ok {
						names = append(names, name)
					}
				}
				require.ElementsMatch(t, c.want, names)
			})
		})
	}
}

func TestMetricsCountFailuresOfKeysByReason(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newMemory()
		v := shared.view(t)
		r := startOperated(t, replicaConfig{storage: v.config()})
		synctest.Wait()
		fails := func(reason string, change, restore func(*view)) {
			t.Helper()
			before := r.keyMetrics()
			v.set(change)
			time.Sleep(time.Minute)
			if reason == "storage_not_writable" || reason == "lock" {
				r.request(http.MethodPost, "/default/rotate", "")
			}
			v.set(restore)
			settle()
			require.Greater(t, r.counted(reason), before["key_failures_total default "+reason], reason)
			after := r.keyMetrics()
			for sample := range maps.Keys(after) {
				if strings.HasPrefix(sample, "key_failures_total") && !strings.HasSuffix(sample, " "+reason) {
					require.InDelta(t, before[sample], after[sample], 0, "%s, and not %s", reason, sample)
				}
			}
			settled := r.keyMetrics()
			time.Sleep(time.Hour)
			require.InDelta(t, settled["key_failures_total default "+reason], r.counted(reason), 0, "it is over")
			require.Empty(t, r.status().Problem)
		}
		fails("storage_unreachable", func(v *view) { v.failure = errors.New("gone") }, func(v *view) { v.failure = nil })
		fails("lock", func(v *view) { v.readOnly = errors.New("read-only") }, func(v *view) { v.readOnly = nil })

		fails("storage_not_writable", func(v *view) { v.full = errors.New("no space left on device") },
			func(v *view) { v.full = nil })

		hang := make(chan struct{})
		fails("no_answer", func(v *view) { v.hang = hang }, func(v *view) { v.hang = nil; close(hang) })

		name := "elasticsearch_jwt/default/" + r.next() + ".json"
		whole := shared.read(name)
		restarted := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		shared.write(name, whole[:10])
		again := startOperated(t, replicaConfig{storage: shared.view(t).config()})
		synctest.Wait()
		require.Zero(t, restarted.counted("key_unusable"), "it was read before")
		require.InDelta(t, 1, again.counted("key_unusable"), 0)
		require.Contains(t, again.status().Problem, name, "the others go on, and somebody who looks is told")
		_, err := again.authorization()
		require.NoError(t, err)
		shared.write(name, whole)
		settle()
		require.Empty(t, again.status().Problem)

		before := r.keyMetrics()
		r.request(http.MethodPost, "/default/revoke", `{"kid":"nobody"}`)
		require.Equal(t, before, r.keyMetrics(), "a mistake of the one who asks is no failure of the keys")
	})
}

func TestMetricsCountFailuresOfOtherSources(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		kms := fakes.add(t, ecKey(t, elliptic.P256()))
		kms.set(errors.New("connection refused"))
		r := startReplica(t, kmsKeys(t, kms.uri(""), ``))
		synctest.Wait()
		require.InDelta(t, 1, r.counted("kms"), 0)
		require.Zero(t, r.keyMetrics()["published_keys default"])

		kms.set(nil)
		time.Sleep(time.Minute)
		r.signs()
		require.Zero(t, r.counted("signature"))
		kms.set(errors.New("the token is gone"))
		time.Sleep(time.Hour)
		require.Equal(t, "503 no_key", r.refusal())
		require.NotZero(t, r.counted("signature"))
	})
	one := ecKey(t, elliptic.P256())
	file := writeFile(t, "key.pem", pkcs8(t, one))
	bubble.Test(t, func(t *testing.T) {
		r := startReplica(t, fileKeys(t, "", file))
		synctest.Wait()
		require.NoError(t, os.WriteFile(file, []byte("nonsense"), 0o600))
		settle()
		require.NotZero(t, r.counted("key_unusable"))
	})
}

// TestMetricsOfAKeySetEndWithIt: they belong to the configuration, and what was counted goes on
// over a reload.
func TestMetricsOfAKeySetEndWithIt(t *testing.T) {
	two := strings.Replace(meteredSite, "algorithm ES256\n\t\t}",
		"algorithm ES256\n\t\t}\n\t\tkeys other storage {\n\t\t\talgorithm ES256\n\t\t}", 1)
	require.NotEqual(t, meteredSite, two)
	s := newSceneOf(t, two)
	sets := func() []string {
		var sets []string
		for sample := range s.metrics() {
			if set, ok := strings.CutPrefix(sample, "published_keys{"); ok {
				sets = append(sets, set)
			}
		}
		slices.Sort(sets)
		return sets
	}
	require.Equal(t, []string{`keys="default"}`, `keys="other"}`}, sets())
	eventually(t, func() bool { return s.metrics()[`published_keys{keys="other"}`] == 2 }, "its keys are made")
	require.Zero(t, s.metrics()[`key_failures_total{keys="other",reason="lock"}`])
	s.load(meteredSite, s.replacements()...)
	require.Equal(t, []string{`keys="default"}`}, sets())
	for sample := range s.metrics() {
		require.NotContains(t, sample, `keys="other"`)
	}
}
