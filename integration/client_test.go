package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	elasticsearch8 "github.com/elastic/go-elasticsearch/v8"
	bulk8 "github.com/elastic/go-elasticsearch/v8/esutil"
	elasticsearch9 "github.com/elastic/go-elasticsearch/v9"
	bulk9 "github.com/elastic/go-elasticsearch/v9/esutil"
	"github.com/stretchr/testify/require"
)

// official is the project's own Go client, of the node's major version.
type official interface {
	// bulk creates documents and returns how many were and were not created.
	bulk(t *testing.T, index string, documents []string) (created, failed uint64)
	// search returns the status and the text of the answer.
	search(t *testing.T, index string) (int, string)
}

// newOfficial is an official client with nothing but a certificate.
func newOfficial(t *testing.T, version string, proxy site, transport http.RoundTripper) official {
	t.Helper()
	addresses := []string{proxy.url("")}
	if strings.HasPrefix(version, "8.") {
		client, err := elasticsearch8.NewClient(elasticsearch8.Config{Addresses: addresses, Transport: transport})
		require.NoError(t, err)
		return official8{client}
	}
	client, err := elasticsearch9.New(
		elasticsearch9.WithAddresses(addresses...),
		elasticsearch9.WithTransportOptions(elastictransport.WithTransport(transport)),
	)
	require.NoError(t, err)
	return official9{client}
}

type official8 struct{ *elasticsearch8.Client }

func (c official8) bulk(t *testing.T, index string, documents []string) (created, failed uint64) {
	indexer, err := bulk8.NewBulkIndexer(bulk8.BulkIndexerConfig{
		Client: c.Client, Index: index, NumWorkers: 2,
		FlushBytes: 64 << 10,
	})
	require.NoError(t, err)
	for _, document := range documents {
		require.NoError(t, indexer.Add(t.Context(),
			bulk8.BulkIndexerItem{Action: "create", Body: strings.NewReader(document)}))
	}
	require.NoError(t, indexer.Close(t.Context()))
	return indexer.Stats().NumCreated, indexer.Stats().NumFailed
}

func (c official8) search(t *testing.T, index string) (int, string) {
	response, err := c.Search(c.Search.WithContext(t.Context()), c.Search.WithIndex(index),
		c.Search.WithTrackTotalHits(true))
	require.NoError(t, err)
	return readAll(t, response.StatusCode, response.Body)
}

type official9 struct{ *elasticsearch9.Client }

func (c official9) bulk(t *testing.T, index string, documents []string) (created, failed uint64) {
	indexer, err := bulk9.NewBulkIndexer(bulk9.BulkIndexerConfig{
		Client: c.Client, Index: index, NumWorkers: 2,
		FlushBytes: 64 << 10,
	})
	require.NoError(t, err)
	for _, document := range documents {
		require.NoError(t, indexer.Add(t.Context(),
			bulk9.BulkIndexerItem{Action: "create", Body: strings.NewReader(document)}))
	}
	require.NoError(t, indexer.Close(t.Context()))
	return indexer.Stats().NumCreated, indexer.Stats().NumFailed
}

func (c official9) search(t *testing.T, index string) (int, string) {
	response, err := c.Search(c.Search.WithContext(t.Context()), c.Search.WithIndex(index),
		c.Search.WithTrackTotalHits(true))
	require.NoError(t, err)
	return readAll(t, response.StatusCode, response.Body)
}

func readAll(t *testing.T, status int, body io.ReadCloser) (int, string) {
	t.Helper()
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return status, string(text)
}

func TestOfficialClientNeedsNothingButItsCertificate(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		as := func(name string, groups ...string) official {
			t.Helper()
			return newOfficial(t, s.es.Version(), s.site, s.site.transportFor(clientCA().Client(name, groups...).TLS))
		}
		const index, count = "sales-from-shippers", 5000
		documents := make([]string, count)
		for i := range documents {
			documents[i] = fmt.Sprintf(`{"item":"item %d","price":%d}`, i, i%100)
		}
		created, failed := as("filebeat", "shippers").bulk(t, index, documents)
		require.EqualValues(t, count, created)
		require.Zero(t, failed)

		status, body, err := s.es.Do(t.Context(), http.MethodPost, "/"+index+"/_refresh", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, string(body))
		found, text := as("alice", "analysts").search(t, index)
		require.Equal(t, http.StatusOK, found, text)
		require.Contains(t, text, fmt.Sprintf(`"total":{"value":%d,"relation":"eq"}`, count))

		created, failed = as("alice", "analysts").bulk(t, index, documents[:10])
		require.Zero(t, created, "who reads may not write")
		require.EqualValues(t, 10, failed)
		found, _ = as("filebeat", "shippers").search(t, index)
		require.Equal(t, http.StatusForbidden, found, "who writes may not read")
	})
}
