package site

import (
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/trustpool"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// This file has the warnings about a server that asks for certificates, whatever handlers it has.

// warnOfNames warns of sites whose name no client, or no client in Java, names in the TLS handshake (RFC 6066 section
// 3). Where client_auth is on, Caddy refuses requests for another host than the one that was named.
func (s *Server) warnOfNames(logger *zap.Logger) {
	if !slices.ContainsFunc(s.sites, Site.Asks) || s.allowsOtherHosts() {
		return
	}
	var addresses, labels []string
	for _, site := range s.sites {
		host := strings.Trim(site.host, "[]")
		if _, err := netip.ParseAddr(host); err == nil {
			addresses = append(addresses, site.host)
		} else if host != "" && !strings.ContainsAny(host, ".*{") {
			labels = append(labels, site.host)
		}
	}
	if len(addresses) > 0 {
		logger.Warn("every client of a site by address gets 421 Misdirected Request, or a TLS alert: "+
			"none names an address in the handshake, and with client_auth Caddy insists on that; "+
			"give the site a name with a dot in it, such as es.internal, or a server without client_auth",
			zap.Strings("sites", addresses))
	}
	if len(labels) > 0 {
		logger.Warn("clients in Java, and so the nodes, get 421 Misdirected Request, or a TLS alert, "+
			"from a site whose name has no dot: Java does not name it in the handshake, "+
			"and with client_auth Caddy insists on that; give the site a name with a dot in it, such as es.internal",
			zap.Strings("sites", labels))
	}
}

// allowsOtherHosts reports whether the server serves a request for another host than the one in the handshake.
func (s *Server) allowsOtherHosts() bool {
	return s.server.StrictSNIHost != nil && !*s.server.StrictSNIHost
}

// warnOfPools warns of files of authorities of which Caddy uses only a part, or nothing, without a word. With no
// authorities, every handshake ends in which the client has a certificate.
func (s *Server) warnOfPools(logger *zap.Logger) {
	read := make(map[string]bool)
	for _, site := range s.sites {
		if !site.Verifies() {
			continue
		}
		names, _, _ := trustpool.FilesOf(site.policy.ClientAuthentication.CARaw)
		for _, name := range names {
			if read[name] {
				continue
			}
			read[name] = true
			content, err := watch.ReadFile(name)
			if err != nil {
				continue // Caddy says so
			}
			if _, err := trustpool.Parse(content); err != nil {
				logger.Warn("client_auth uses what it can read of this file of authorities, "+
					"and ends the handshake with the clients of all others",
					zap.String("file", name), zap.Error(err))
			}
		}
	}
}
