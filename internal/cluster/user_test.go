package cluster_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
)

var encodedKey = base64.StdEncoding.EncodeToString([]byte("key-id:s3cret"))

func TestUserIsAPasswordOrAnAPIKey(t *testing.T) {
	user, err := cluster.ParseUser([]byte("proxy:a:s3cret \r\n"))
	require.NoError(t, err)
	require.Equal(t, cluster.Basic, user.Scheme())
	require.Equal(t, "proxy", user.Name())
	require.Equal(t, "a:s3cret ", user.Secret(), "a colon and a blank can be in a password")
	request := &http.Request{Header: user.Header()}
	name, password, ok := request.BasicAuth()
	require.True(t, ok)
	require.Equal(t, []string{"proxy", "a:s3cret "}, []string{name, password})

	for _, content := range []string{"ApiKey " + encodedKey, "apikey  " + encodedKey + " \n"} {
		user, err = cluster.ParseUser([]byte(content))
		require.NoError(t, err)
		require.Equal(t, cluster.APIKey, user.Scheme())
		require.Equal(t, "key-id", user.Name())
		require.Equal(t, "ApiKey "+encodedKey, user.Authorization())
		require.Equal(t, encodedKey, user.Secret())
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		text := fmt.Sprintf(format, user)
		require.NotContains(t, text, encodedKey, format)
		require.NotContains(t, text, "s3cret", format)
	}
}

func TestWhatIsNoUserIsAnErrorWithoutItsContent(t *testing.T) {
	for content, want := range map[string]string{
		"":                   "it is empty",
		" \r\n":              "it is empty",
		"s3cret":             "no colon",
		":s3cret":            "name or its password is missing",
		"s3cret:":            "name or its password is missing",
		"a:s3cret\nb:s3cret": "several lines",
		"a:s3cret\x00":       "several lines",
		"ApiKey s3cret!":     "calls encoded",
		"ApiKey ":            "calls encoded",
		"ApiKey " + base64.StdEncoding.EncodeToString([]byte("s3cret")):  "calls encoded",
		"ApiKey " + base64.StdEncoding.EncodeToString([]byte(":s3cret")): "calls encoded",
	} {
		_, err := cluster.ParseUser([]byte(content))
		require.ErrorContains(t, err, want, "%q", content)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// FuzzParseUser: what is taken can be sent in a header.
func FuzzParseUser(f *testing.F) {
	f.Add([]byte("proxy:password\n"))
	f.Add([]byte("ApiKey " + encodedKey))
	f.Add([]byte("apikey:x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		user, err := cluster.ParseUser(content)
		if err != nil {
			require.Empty(t, user.Authorization())
			return
		}
		require.True(t, httpguts.ValidHeaderFieldValue(user.Authorization()))
		scheme, value, _ := strings.Cut(user.Authorization(), " ")
		require.Equal(t, string(user.Scheme()), scheme)
		_, err = base64.StdEncoding.DecodeString(value)
		require.NoError(t, err)
		require.NotEmpty(t, user.Name())
		require.NotEmpty(t, user.Secret())
	})
}

// FuzzCheckAddress: an address that is taken is taken again as it was returned, and a path can follow it.
func FuzzCheckAddress(f *testing.F) {
	for _, address := range []string{"https://es1:9200/", "http://[::1]:9200", "https://a@b", "es1:9200"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		got, err := cluster.CheckAddress(address)
		if err != nil {
			return
		}
		again, err := cluster.CheckAddress(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
		_, err = http.NewRequest(http.MethodGet, got+"/_security", nil)
		require.NoError(t, err)
	})
}

// FuzzAnswer: whatever a node answers is an error of bounded length.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"error":{"type":"a","reason":"b"}}`))
	f.Add([]byte(`{"error":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := (&cluster.Answer{Node: "n", Status: 500, Body: body}).Err()
		require.LessOrEqual(t, len(err.Error()), 1200)
		require.True(t, strings.HasPrefix(err.Error(), "n answered 500"))
	})
}
