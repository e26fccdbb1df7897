package esjwt_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// meteredSite is ecSite with Caddy's own metrics endpoint, for anybody.
var meteredSite = strings.NewReplacer(
	"	elasticsearch_jwks\n", "	elasticsearch_jwks\n	handle /metrics {\n		metrics\n	}\n	handle {\n",
	"	reverse_proxy {{upstream}}\n", "	reverse_proxy {{upstream}}\n	}\n",
).Replace(ecSite)

// metricLine is one sample of ours in Prometheus' text format.
var metricLine = regexp.MustCompile(`^(caddy_elasticsearch_jwt_\w+)(?:\{(.*)\})? ([0-9.e+-]+)$`)

// metrics reads the site's samples of ours, by name and labels.
func (s *scene) metrics() map[string]float64 {
	s.t.Helper()
	return s.metricsOf(s.httpClient(), site)
}

// metricsOf reads them on a site.
func (s *scene) metricsOf(client *http.Client, host string) map[string]float64 {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+host+"/metrics", nil)
	require.NoError(s.t, err)
	a, err := s.do(client, req)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, a.StatusCode)
	return samplesIn(s.t, a.body)
}

// metricsOfAdmin reads the samples of ours that the admin endpoint shows.
func metricsOfAdmin(t testing.TB, admin string) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/metrics", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	return samplesIn(t, readBody(t, res))
}

func samplesIn(t testing.TB, exposition string) map[string]float64 {
	t.Helper()
	samples := make(map[string]float64)
	for line := range strings.Lines(exposition) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "caddy_elasticsearch_jwt_") {
			continue
		}
		m := metricLine.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		value, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		name := strings.TrimPrefix(m[1], "caddy_elasticsearch_jwt_")
		samples[name+"{"+m[2]+"}"] = value
	}
	return samples
}

// gained is what has been added to a sample since.
func (s *scene) gained(before map[string]float64, sample string) float64 {
	s.t.Helper()
	now := s.metrics()
	require.Contains(s.t, now, sample)
	return now[sample] - before[sample]
}

func TestMetricsCountRequestsSignaturesAndTheJWKS(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	alice := s.httpClient(s.clients.client("alice"))
	s.get(alice, "/") // the first key may still be in the making, and its gauges
	before := s.metrics()

	for range 3 {
		require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)
	}
	require.Equal(t, http.StatusOK, s.get(s.httpClient(s.clients.client("bob")), "/").StatusCode)
	require.Equal(t, http.StatusUnauthorized, s.get(s.httpClient(), "/").StatusCode)
	require.Equal(t, http.StatusForbidden, s.get(s.httpClient(s.clients.client("")), "/").StatusCode)
	require.Equal(t, http.StatusOK, s.get(s.httpClient(), jwksPath).StatusCode)
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+site+jwksPath, nil)
	require.NoError(t, err)
	_, err = s.do(s.httpClient(), post)
	require.NoError(t, err)

	for sample, want := range map[string]float64{
		`requests_total{reason="",result="authenticated"}`:         4,
		`requests_total{reason="",result="own_credentials"}`:       0,
		`requests_total{reason="no_certificate",result="refused"}`: 1,
		`requests_total{reason="no_principal",result="refused"}`:   1,
		`requests_total{reason="no_key",result="refused"}`:         0,
		`signature_duration_seconds_count{algorithm="ES256"}`:      1, // bob's
		`jwks_requests_total{result="served"}`:                     1,
		`jwks_requests_total{result="method_not_allowed"}`:         1,
		`jwks_requests_total{result="unavailable"}`:                0,
		`cache_entries{}`: 1,
		`signature_duration_seconds_bucket{algorithm="ES256",le="+Inf"}`: 1,
	} {
		require.InDelta(t, want, s.gained(before, sample), 0, sample)
	}
}

func TestMetricsSurviveAReload(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	alice := s.httpClient(s.clients.client("alice"))
	s.get(alice, "/")
	before := s.metrics()
	for i := range 4 {
		s.load(meteredSite, s.replacements()...)
		require.Equal(t, http.StatusOK, s.get(alice, "/").StatusCode)
		require.InDelta(t, i+1, s.gained(before, `requests_total{reason="",result="authenticated"}`), 0)
	}
	require.InDelta(t, 0, s.gained(before, `signature_duration_seconds_count{algorithm="ES256"}`), 0, "nor does the token")
	require.InDelta(t, 0, s.gained(before, `cache_entries{}`), 0)
}

func TestNoClientCanAddAMetric(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	s.get(s.httpClient(s.clients.client("alice")), "/")
	before := s.metrics()

	for i := range 20 {
		name := fmt.Sprintf("client-%d", i)
		client := s.httpClient(s.clients.client(name, "group-"+name, "a=b,c"))
		for _, method := range []string{http.MethodGet, "METHOD-" + name} {
			for _, path := range []string{"/" + name, jwksPath} {
				req, err := http.NewRequestWithContext(t.Context(), method, "https://"+site+path, nil)
				require.NoError(t, err)
				req.Header.Set("User-Agent", "agent-"+name)
				_, err = s.do(client, req)
				require.NoError(t, err)
			}
		}
	}
	after := s.metrics()
	require.Len(t, after, len(before), "as many samples as before")
	values := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for sample := range after {
		require.NotContains(t, sample, "client-")
		for _, label := range values.FindAllStringSubmatch(sample, -1) {
			switch label[1] {
			case "result":
				require.Contains(t, []string{
					"authenticated", "own_credentials", "refused", "served", "unavailable",
					"method_not_allowed",
				}, label[2])
			case "reason":
				require.Regexp(t, `^[a-z_]*$`, label[2])
			case "algorithm":
				require.Regexp(t, `^(RS|PS|ES|HS)(256|384|512)$`, label[2])
			case "keys":
				require.Equal(t, "default", label[2])
			case "status":
				require.Contains(t, []string{"401", "403"}, label[2])
			case "within":
				require.Contains(t, []string{"1d", "7d", "30d"}, label[2])
			case "kind":
				require.Contains(t, []string{"api_key", "delegate_pki", "proxy_headers", "run_as", "static"}, label[2])
			case "le":
			default:
				require.Fail(t, "an unknown label", sample)
			}
		}
	}
}

func TestEveryReasonIsAMetricFromTheStart(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	samples := s.metrics()
	for _, reason := range []string{
		"no_certificate", "replayed_token", "unverified", "expired", "revoked", "no_principal",
		"invalid_name", "invalid_group", "too_large", "misdirected", "no_key",
	} {
		require.Contains(t, samples, `requests_total{reason="`+reason+`",result="refused"}`)
	}
}

// TestMetricsAreOnTheAdminEndpointFromTheStart, with 0 and without any option: an alert on a rate sees the first
// event only if there was a sample before it.
func TestMetricsAreOnTheAdminEndpointFromTheStart(t *testing.T) {
	admin := freeAddress(t)
	newSceneOf(t, strings.Replace(withKeys("default storage {\n\t\t\talgorithm RS384\n\t\t}"),
		"admin off", "admin "+admin, 1))
	const signatures = `signature_duration_seconds_count{algorithm="RS384"}`
	eventually(t, func() bool {
		_, ok := metricsOfAdmin(t, admin)[signatures]
		return ok
	}, "there is a key")
	samples := metricsOfAdmin(t, admin)
	for _, sample := range []string{
		`requests_total{reason="",result="authenticated"}`,
		`requests_total{reason="no_key",result="refused"}`,
		`jwks_requests_total{result="unavailable"}`,
		`expiring_client_certificates{within="1d"}`,
		`expiring_client_certificates{within="7d"}`,
		`expiring_client_certificates{within="30d"}`,
		`retries_total{}`,
		`cache_entries{}`,
		`published_keys{keys="default"}`,
		`signature_failures_total{algorithm="RS384"}`,
	} {
		require.Contains(t, samples, sample)
	}
	for _, sample := range []string{
		`key_rotations_total{keys="default"}`,
		`key_failures_total{keys="default",reason="lock"}`,
	} {
		require.Contains(t, samples, sample)
		require.Zero(t, samples[sample], sample)
	}
}

func TestMetricsShowWhoseCertificateEndsSoon(t *testing.T) {
	s := newSceneOf(t, meteredSite)
	before := s.metrics()
	gain := func() []float64 {
		var gained []float64
		for _, within := range []string{"1d", "7d", "30d"} {
			gained = append(gained, s.gained(before, `expiring_client_certificates{within="`+within+`"}`))
		}
		return gained
	}
	client := s.httpClient(s.clients.client("alice")) // for twelve hours
	for range 3 {
		require.Equal(t, http.StatusOK, s.get(client, "/").StatusCode)
		require.Equal(t, []float64{1, 1, 1}, gain())
	}
	require.Equal(t, http.StatusForbidden, s.get(s.httpClient(s.clients.client("")), "/").StatusCode)
	require.Equal(t, []float64{1, 1, 1}, gain(), "somebody who is refused is no client")
	s.load(meteredSite, s.replacements()...)
	require.Equal(t, []float64{1, 1, 1}, gain(), "after a reload too")
}
