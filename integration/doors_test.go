package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// behind are configurations in which something behind the handler says that the client is somebody else. The settings
// are of a site.
func behind() map[string]site {
	return map[string]site{
		"header_up with a password":    {proxy: "header_up Authorization \"" + basicOfTarget + "\""},
		"header_up without anything":   {proxy: "header_up -Authorization"},
		"header_up to run as":          {proxy: "header_up es-security-runas-user runas-target"},
		"header_up of OpenSearch":      {proxy: "header_up opendistro_security_impersonate_as admin"},
		"header_up of a proxy":         {proxy: "header_up x-proxy-user admin\nheader_up x-proxy-roles admin"},
		"request_header":               {after: "request_header Authorization \"" + basicOfTarget + "\""},
		"request_header to run as":     {after: "request_header es-security-runas-user runas-target"},
		"request_header from a header": {after: "request_header {http.request.header.X-Name} runas-target"},
	}
}

// TestNothingBehindTheHandlerChangesWhoAClientIs: the transport has the last word.
func TestNothingBehindTheHandlerChangesWhoAClientIs(t *testing.T) {
	root := clientCA().Client("root", "admins").TLS
	header := http.Header{"X-Name": {"es-security-runas-user"}}
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		for name, proxy := range behind() {
			t.Run(name, func(t *testing.T) {
				s.startSites(t, &proxy)
				got := send(t, proxy.client(root), http.MethodGet, proxy.url("/_security/_authenticate"), "", header).user(t)
				require.Equal(t, "root", got.Username)
				require.Equal(t, []string{"superuser"}, got.Roles)
				require.Equal(t, teleportRealm, got.Realm.Name)
			})
		}
	})
	forEachOpenSearch(t, func(t *testing.T, s *searchStack) {
		alice := clientCA().Client("alice", "analysts").TLS
		for name, proxy := range behind() {
			t.Run(name, func(t *testing.T) {
				s.startSites(t, &proxy)
				require.Equal(t, "alice", proxy.authinfo(t, proxy.client(alice), header).searchUser(t).Name)
			})
		}
	})
}

// TestWhatNoHandlerHasLetInReachesNoNode, though the request has good credentials: it came by another way.
func TestWhatNoHandlerHasLetInReachesNoNode(t *testing.T) {
	forEachElasticsearch(t, func(t *testing.T, s *stack) {
		direct := send(t, directClient(), http.MethodGet, s.es.URL()+"/_security/_authenticate", "",
			http.Header{"Authorization": {basicOfTarget}})
		require.Equal(t, "runas-target", direct.user(t).Username, "what the node makes of it")

		dir, err := certificates()
		require.NoError(t, err)
		proxy := site{
			port: freePort(t), upstream: s.es.URL(), handler: "certificate optional",
			before: "@open path /_security/*\n\t\tinvoke @open cluster",
			after:  "@closed path /_cluster/*\n\t\tinvoke @closed cluster",
		}
		block, err := proxy.block()
		require.NoError(t, err)
		StartCaddy(t, globalOptions+"&(cluster) {\n\treverse_proxy "+s.es.URL()+" {\n\t\ttransport elasticsearch_jwt {\n"+
			"\t\t\ttls_trust_pool file "+dir+"/es-ca.crt\n\t\t}\n\t}\n}\n"+block, "XDG_DATA_HOME="+s.caddy.DataHome())

		root := clientCA().Client("root", "admins").TLS
		header := http.Header{"Authorization": {basicOfTarget}}
		for _, client := range []*http.Client{proxy.client(), proxy.client(root)} {
			got := send(t, client, http.MethodGet, proxy.url("/_security/_authenticate"), "", header)
			require.Equal(t, http.StatusBadGateway, got.status, got.body)
			require.Contains(t, got.body, "not_admitted")
		}
		require.Equal(t, http.StatusOK, send(t, proxy.client(root), http.MethodGet, proxy.url("/_cluster/health"), "", nil).status)
	})
}
