package esjwt

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// This file is about what outlives a configuration: the credentials of clients that are no tokens.

// credentialStates has the credentials of all configurations in this process: see [Handler.beginCredentials].
var credentialStates = caddy.NewUsagePool()

// beginCredentials lets the handler's credentials be made. The nodes are those of the reverse_proxy behind the handler.
// A later configuration goes on with the credentials of an earlier one if its settings and its nodes are the same.
func (h *Handler) beginCredentials(ctx context.Context, nodes []cluster.Node) {
	if h.cache == nil || h.begun {
		return
	}
	h.begun = true
	maker := h.cache.Maker()
	if clustered, ok := maker.(credential.Clustered); ok {
		if len(nodes) == 0 {
			h.logger.Error("no client can have a credential: it is asked for over the transport of a reverse_proxy, and " +
				"behind this elasticsearch_jwt there is none that can be seen; take it out of the other plugin's handler " +
				"that it is in")
		}
		if own := clustered.Nodes(); len(own) > 0 && len(nodes) > 0 {
			over := nodes[0]
			nodes = nil
			for _, address := range own {
				nodes = append(nodes, over.At(address))
			}
		}
		clustered.SetCluster(cluster.New(nodes...))
	}
	id := sha256.New()
	fmt.Fprintf(id, "%s %s", h.CredentialRaw, setting.Identity(h.app.ctx.Storage()))
	for _, node := range nodes {
		fmt.Fprintf(id, " %s", node.URL)
	}
	key := hex.EncodeToString(id.Sum(nil))
	state, _ := credentialStates.LoadOrStore(key, credential.NewState(h.app.CacheSize))
	h.app.credentialIDs = append(h.app.credentialIDs, key)
	state.(*credential.State).Resize(h.app.CacheSize)
	if runner, ok := maker.(credential.Runner); ok {
		h.app.running.Go(func() { runner.Run(ctx, h.denied) })
	}
	h.cache.Begin(state.(*credential.State))
}

// beginOthers begins the handlers that the look at the routes has not found, since they are inside another plugin's
// handler. They have no node to ask, not even one that their settings name: no transport leads there.
func (a *App) beginOthers(ctx context.Context) {
	for _, h := range a.handlers {
		h.beginCredentials(ctx, nil)
	}
}

// denied implements [credential.Denied].
func (h *Handler) denied(chain []*x509.Certificate) bool {
	e := h.identify(chain, time.Now())
	return e.Reason != "" && !e.Passing
}
