package routes

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Finding is something that is wrong, or may be.
type Finding struct {
	Wrong     bool // it is certainly wrong: the configuration must not be loaded
	Message   string
	Sites     []string // that it is about
	Upstreams []string // of the reverse_proxy that it is about
}

// Error returns the finding with what it is about, in one line.
func (f *Finding) Error() string {
	return strings.Join(f.Sites, ", ") + ": " + f.Message
}

// Findings returns what is wrong with the ways through the configuration: first what is certainly wrong. What can be
// said of several sites in the same words is one finding.
func (m *Map) Findings() []*Finding {
	var f findings
	for _, h := range m.Handlers {
		f.ofHandler(h, m.Complete)
	}
	cluster := m.cluster()
	for _, p := range m.Proxies {
		f.ofOpenProxy(p, cluster, m.Complete)
		f.ofChanges(p)
		f.ofTransport(p)
	}
	return f.all()
}

// cluster returns the upstreams that requests reach by way of a handler, for an answer that goes to the client.
func (m *Map) cluster() map[string]bool {
	cluster := make(map[string]bool)
	for _, p := range m.Proxies {
		if len(p.behind) > 0 && !p.goesOn {
			for _, upstream := range p.upstreams {
				cluster[upstream] = true
			}
		}
	}
	return cluster
}

// findings collects findings, each message once.
type findings struct {
	order []*collected
	known map[string]*collected
}

type collected struct {
	wrong            bool
	message          string
	sites, upstreams sites
}

func (f *findings) add(wrong bool, where sites, upstreams []string, message string) {
	found := f.known[message]
	if found == nil {
		if f.known == nil {
			f.known = make(map[string]*collected)
		}
		found = &collected{wrong, message, make(sites), make(sites)}
		f.known[message] = found
		f.order = append(f.order, found)
	}
	maps.Copy(found.sites, where)
	for _, upstream := range upstreams {
		found.upstreams[upstream] = true
	}
}

func (f *findings) all() []*Finding {
	all := make([]*Finding, 0, len(f.order))
	for _, found := range f.order {
		all = append(all, &Finding{found.wrong, found.message, found.sites.named(), found.upstreams.named()})
	}
	slices.SortStableFunc(all, func(a, b *Finding) int { return cmp.Compare(bit(b.Wrong), bit(a.Wrong)) })
	return all
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *findings) ofHandler(h *Handler, complete bool) {
	if proxy, ok := h.hidden.(*reverseproxy.Handler); ok {
		f.add(true, h.sites, addresses(proxy), "a reverse_proxy comes before elasticsearch_jwt and sends every request on, "+
			"with the headers that the client chose: write elasticsearch_jwt first, and reverse_proxy below it "+
			"(in a route block, and with the global option order, they run as they are written)")
	} else if name, ok := h.hidden.(uninvoked); ok && !h.reached() {
		f.add(complete, h.sites, nil, "elasticsearch_jwt is in the named route "+string(name)+", which nothing invokes. "+
			"Caddy keeps only the first directive of a named route if none of them has a matcher: where "+
			"`invoke "+string(name)+"` stands beside others in a named route, put all of them into one handle block")
	} else if h.hidden != nil && !h.reached() {
		f.add(false, h.sites, nil, "no request reaches elasticsearch_jwt, since "+enderName(h.hidden)+
			" before it answers all of them: write elasticsearch_jwt first, or take it out")
	}
	f.ofNeeds(h, complete)
	switch {
	case len(h.after) == 0:
	case h.first:
		f.add(false, h.sites, nil, "some requests come to this elasticsearch_jwt that another one has let in already, "+
			"and only the last one counts: give each a handle block of its own, together with its reverse_proxy")
	default:
		f.add(true, h.sites, nil, "every request that comes to this elasticsearch_jwt has been let in by another one "+
			"already, and only the last one counts: keep one of the two, or give each a handle block of its own, "+
			"together with its reverse_proxy")
	}
}

// ofNeeds is about a handler whose credential needs the transport, and the addresses of the nodes.
func (f *findings) ofNeeds(h *Handler, complete bool) {
	if h.Needs.Credential == "" || !h.reached() {
		return
	}
	for _, p := range h.Proxies {
		if p.kind != delivers {
			f.add(true, h.sites, p.upstreams, "`credential "+h.Needs.Credential+"` needs the transport of this plugin: "+
				"write `transport elasticsearch_jwt` into this reverse_proxy")
		} else if h.Needs.Nodes && len(p.Nodes()) == 0 {
			f.add(true, h.sites, p.upstreams, "`credential "+h.Needs.Credential+"` asks the cluster, and this reverse_proxy "+
				"does not say where it is: write the addresses of nodes into the credential, "+
				"as in `cluster https://es1.example.com:9200`")
		}
	}
	if len(h.Proxies) == 0 && complete {
		f.add(true, h.sites, nil, "`credential "+h.Needs.Credential+"` needs a reverse_proxy behind elasticsearch_jwt, "+
			"with `transport elasticsearch_jwt` in it")
	}
}

// enderName returns what to call a handler that ends a way.
func enderName(handler any) string {
	switch name := nameOf(handler); name {
	case "":
		return "an earlier route"
	case "static_response":
		return "a respond or redir"
	default:
		return "a " + name
	}
}

func addresses(proxy *reverseproxy.Handler) []string {
	var addresses []string
	for _, upstream := range proxy.Upstreams {
		addresses = append(addresses, normalize(upstream.Dial))
	}
	return addresses
}

const (
	inFront = "put elasticsearch_jwt in front of it (both into one handle or route block, elasticsearch_jwt first), " +
		"or take it out"
	outOfErrors = "take it out of handle_errors"
)

// ofOpenProxy is about a reverse_proxy that requests reach around the handlers. Only if the map is complete it is
// certain that no handler is in front of it: another plugin's handler can have one inside.
func (f *findings) ofOpenProxy(p *Proxy, cluster map[string]bool, complete bool) {
	if !p.open && !p.openToErrors {
		return
	}
	toCluster := slices.ContainsFunc(p.upstreams, func(u string) bool { return cluster[u] })
	switch {
	case p.kind != delivers && !toCluster:
	case p.kind != delivers && p.open:
		f.add(false, p.sites, p.upstreams, "requests come to nodes of the cluster through this "+
			"reverse_proxy without elasticsearch_jwt, with the headers that the client chose: "+inFront)
	case p.kind != delivers:
		f.add(false, p.sites, p.upstreams, "requests come to nodes of the cluster through this "+
			"reverse_proxy in error routes, though elasticsearch_jwt has refused them or not seen them: "+outOfErrors)
	case len(p.behind) > 0:
		f.add(false, p.sites, p.upstreams, "some requests reach this reverse_proxy without elasticsearch_jwt, and "+
			"its transport elasticsearch_jwt refuses them with 502 (not_admitted): "+inFront)
	case p.open:
		f.add(complete, p.sites, p.upstreams, "no request goes through elasticsearch_jwt before it comes to this "+
			"reverse_proxy, so that its transport elasticsearch_jwt would refuse all of them (not_admitted): "+inFront)
	default:
		f.add(complete, p.sites, p.upstreams, "no request in error routes has been let in by elasticsearch_jwt, so that "+
			"the transport elasticsearch_jwt of this reverse_proxy would refuse all of them (not_admitted): "+outOfErrors)
	}
}

// ofChanges is about headers that are changed between a handler and the node.
func (f *findings) ofChanges(p *Proxy) {
	var changes []*change
	for _, behind := range p.behind {
		changes = union(changes, behind)
	}
	slices.SortFunc(changes, func(a, b *change) int { return cmp.Compare(a.text(), b.text()) })
	for _, c := range changes {
		if p.kind == delivers {
			f.ofChangeInVain(p, c)
		} else {
			f.ofChange(p, c)
		}
	}
}

// ofChangeInVain is about a change that the transport elasticsearch_jwt undoes.
func (f *findings) ofChangeInVain(p *Proxy, c *change) {
	switch c.effect {
	case perhaps:
	case authorizes:
		f.add(false, p.sites, p.upstreams, c.text()+" has no effect, because the transport elasticsearch_jwt has the last "+
			"word: take it out, and write `shared_secret {file./run/secrets/es_client_auth}` into the transport's block")
	case impersonates, anonymizes, marks:
		f.add(false, p.sites, p.upstreams, c.text()+" has no effect, because the transport elasticsearch_jwt has the last "+
			"word on who a request is: take it out")
	}
}

func (f *findings) ofChange(p *Proxy, c *change) {
	switch c.effect {
	case impersonates:
		f.add(true, p.sites, p.upstreams, c.text()+" changes who the request is after elasticsearch_jwt has said so, "+
			"so that every client would be the same user: take it out "+
			"(what a header is for every client is a setting of elasticsearch_jwt, `header <name> <value>`)")
	case anonymizes:
		f.add(true, p.sites, p.upstreams, c.text()+" removes what elasticsearch_jwt has set, "+
			"so that every client would be nobody: take it out")
	case authorizes:
		f.add(false, p.sites, p.upstreams, c.text()+" puts the shared secret into the log lines of reverse_proxy: "+
			"take it out, and use `transport elasticsearch_jwt { shared_secret {file./run/secrets/es_client_auth} }`, "+
			"one setting a line")
	case perhaps:
		f.add(false, p.sites, p.upstreams, c.text()+" may change a header that says who the request is, "+
			"after elasticsearch_jwt has said so: name the header, or use `transport elasticsearch_jwt`, "+
			"which has the last word")
	case marks:
	}
}

// ofTransport is about how a request is sent on that a handler has let in.
func (f *findings) ofTransport(p *Proxy) {
	if len(p.behind) == 0 {
		return
	}
	switch {
	case p.kind != plain:
	case p.goesOn:
		f.add(false, p.sites, p.upstreams, "this reverse_proxy asks a server behind elasticsearch_jwt before it hands the "+
			"request on, as forward_auth does, and sends that server the client's token: "+
			"put it above elasticsearch_jwt, in a route block")
	default:
		f.add(false, p.sites, p.upstreams, "this reverse_proxy has Caddy's http transport, so that what is between it and "+
			"elasticsearch_jwt can change who a request is, and see its token: "+
			"write `transport elasticsearch_jwt` into its block, which sends only what elasticsearch_jwt has let in")
	}
	if p.plainHTTP && (p.kind == plain || p.kind == delivers) {
		f.ofPlainHTTP(p)
	}
	if p.countsOneFailure() {
		f.add(false, p.sites, p.upstreams, "fail_duration without max_fails takes a node out after a single failure, "+
			"and a node may close the connection over a request that it cannot read, so that any client can do that to "+
			"all others: write max_fails 10 or more, or use active health checks (health_uri)")
	}
	if p.countsSlowClients() {
		f.add(false, p.sites, p.upstreams, "unhealthy_latency counts the time in which a client sends its body, so that any "+
			"client can take a node out for all others: leave it out, and use active health checks (health_uri)")
	}
	if p.countsClientErrors() {
		f.add(false, p.sites, p.upstreams, "unhealthy_status with 4xx, 5xx, 500 or 502 counts answers that any client can "+
			"cause, so that it can take a node out for all others: write unhealthy_status 503 504, "+
			"or use active health checks (health_uri)")
	}
}

// passive returns the passive health checks, or nil if none take a node out.
func (p *Proxy) passive() *reverseproxy.PassiveHealthChecks {
	checks := p.module.HealthChecks
	if checks == nil || checks.Passive == nil || checks.Passive.FailDuration <= 0 {
		return nil
	}
	return checks.Passive
}

// countsOneFailure reports whether a single failure is enough for the passive health checks to take a node out.
func (p *Proxy) countsOneFailure() bool {
	checks := p.passive()
	return checks != nil && checks.MaxFails <= 1
}

// countsSlowClients reports whether it is a failure of the node if a request takes long.
func (p *Proxy) countsSlowClients() bool {
	checks := p.passive()
	return checks != nil && checks.UnhealthyLatency > 0
}

// countsClientErrors reports whether it is a failure of the node to answer with a status that a wrong request can have:
// 500 of a node, or 502 of the transport elasticsearch_jwt.
func (p *Proxy) countsClientErrors() bool {
	checks := p.passive()
	return checks != nil && slices.ContainsFunc(checks.UnhealthyStatus, func(status int) bool {
		switch status {
		case 4, 5, http.StatusInternalServerError, http.StatusBadGateway: // 4 is 4xx
			return true
		default:
			return status/100 == 4
		}
	})
}

func (f *findings) ofPlainHTTP(p *Proxy) {
	const node = "a node that expects TLS, as Elasticsearch does by default, fails with EOF then: " +
		"write https:// before the address"
	if slices.ContainsFunc(p.upstreams, func(u string) bool { return !strings.HasPrefix(u, "localhost:") }) {
		f.add(false, p.sites, p.upstreams, "credentials go to this upstream over plain HTTP, where others can read them; "+node)
	} else {
		f.add(false, p.sites, p.upstreams, "credentials go to this machine over plain HTTP; "+node)
	}
}
