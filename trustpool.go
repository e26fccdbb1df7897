package esjwt

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/trustpool"
)

// loadTrustPool loads the trust pool of the handler; it returns nil if none is configured. A configured pool must not
// be empty, because crypto/x509 would then trust the authorities of the system.
func (h *Handler) loadTrustPool(ctx caddy.Context) (identity.Authorities, error) {
	if h.TrustPoolRaw == nil {
		return nil, nil
	}
	pool, err := h.openTrustPool(ctx)
	if err != nil {
		return nil, setting.In("trust_pool", err)
	}
	if p := pool.CertPool(); p == nil || p.Equal(x509.NewCertPool()) {
		return nil, errors.New("trust_pool is empty: name the authority of the client certificates, in PEM")
	}
	return pool, nil
}

// openTrustPool opens the pool that is configured. The files of the sources `file` and `combined` are watched. What
// other sources have is read once, by Caddy.
func (h *Handler) openTrustPool(ctx caddy.Context) (identity.Authorities, error) {
	names, others, err := filesOfPool(h.TrustPoolRaw)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		module, err := ctx.LoadModule(h, "TrustPoolRaw")
		if err != nil {
			return nil, setting.WithRedactedURLs(err)
		}
		return authoritiesOf(module)
	}
	var fixed []*x509.Certificate
	if others != nil {
		module, err := ctx.LoadModuleByID(trustPoolSources+".combined", others)
		if err != nil {
			return nil, setting.WithRedactedURLs(err)
		}
		fixed = module.(caddytls.CertificateProvider).Certificates()
	}
	files, err := trustpool.Open(names, fixed, h.logger)
	if err != nil {
		return nil, err
	}
	for _, w := range files.Watched() {
		h.app.watch(w)
	}
	return files, nil
}

func authoritiesOf(module any) (identity.Authorities, error) {
	pool, ok := module.(caddytls.CA)
	if !ok {
		return nil, fmt.Errorf("%T is no source of certificate authorities", module)
	}
	return pool, nil
}

// poolConfig is the configuration of a source that has files in it, or other sources.
type poolConfig struct {
	Provider string            `json:"provider,omitempty"`
	PEMFiles []string          `json:"pem_files,omitempty"`
	Sources  []json.RawMessage `json:"sources,omitempty"`
}

// filesOfPool returns the files of a pool whose source is `file`, or `combined` with such sources in it. others is the
// configuration of what else a combined pool has, or nil. A pool without files is left to Caddy as a whole, and so is
// one that cannot be read, for Caddy to say why.
//
//	file a.pem b.pem                                 a.pem and b.pem
//	combined { source file a.pem; source inline …}   a.pem, and others with the source inline
//	http https://pki.example.com/ca.pem              none
func filesOfPool(raw json.RawMessage) (names []string, others json.RawMessage, err error) {
	var pool poolConfig
	if caddy.StrictUnmarshalJSON(raw, &pool) != nil {
		return nil, nil, nil //nolint:nilerr // another source has other settings
	}
	switch {
	case pool.Provider == "file" && pool.Sources == nil:
		return pool.PEMFiles, nil, nil
	case pool.Provider != "combined" || pool.PEMFiles != nil:
		return nil, nil, nil
	}
	var rest poolConfig
	for _, source := range pool.Sources {
		var one poolConfig
		if caddy.StrictUnmarshalJSON(source, &one) == nil && one.Provider == "file" && one.Sources == nil {
			names = append(names, one.PEMFiles...)
		} else {
			rest.Sources = append(rest.Sources, source)
		}
	}
	if len(rest.Sources) == 0 {
		return names, nil, nil
	}
	others, err = json.Marshal(rest)
	return names, others, err
}
