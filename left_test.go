package esjwt_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAClientThatLeavesDuringAProofIsNotRefused: operators are alarmed by refusals for want of a credential.
func TestAClientThatLeavesDuringAProofIsNotRefused(t *testing.T) {
	ended := make(chan struct{})
	node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(node.Close)
	t.Cleanup(func() { close(ended) })
	secret := base64.StdEncoding.EncodeToString([]byte("key-id:a-secret"))
	file := writeFile(t, "key", []byte("ApiKey "+secret+"\n"))
	s := newSceneOf(t, withCredential, "{{upstream}}", strings.TrimPrefix(node.URL, "http://"),
		"{{settings}}", "credential run_as {\nkey {file."+file+"}\n}")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site+"/", nil)
	require.NoError(t, err)
	_, err = s.do(s.httpClient(s.clients.client("alice")), req)
	require.Error(t, err)
	eventually(t, func() bool { return strings.Contains(s.logs.String(), `"handled request"`) }, "the access log")
	require.NotContains(t, s.logs.String(), "no_credential")
}
