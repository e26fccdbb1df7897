package esjwt

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// notMerged keeps Caddy from merging the route of a directive with its neighbours in a named route. If Caddy can
// merge all routes of a named route into one, it keeps only the first handler of it: in
//
//	&(auth) {
//		header X-Frame-Options DENY
//		elasticsearch_jwt { … }
//	}
//
// that is the header, and requests would go on as the client sent them. Caddy merges routes whose matchers are
// equal. No matchers at all and an empty list of them are not equal to it, but mean the same, and are the same in
// JSON.
func notMerged(h httpcaddyfile.Helper, values []httpcaddyfile.ConfigValue) []httpcaddyfile.ConfigValue {
	if !h.IsNamedRoute() {
		return values // one route is faster than two
	}
	for i := range values {
		if route, ok := values[i].Value.(caddyhttp.Route); ok && route.MatcherSetsRaw == nil {
			route.MatcherSetsRaw = caddyhttp.RawMatcherSets{}
			values[i].Value = route
		}
	}
	return values
}
