package esjwt

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pemfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/token"
)

// Explanation says who a handler takes the holder of a certificate for, and what its requests go on with; or why it
// refuses the certificate.
type Explanation struct {
	identity.Explanation

	Credential *credential.Explanation `json:"credential,omitempty"`
}

// explain returns who the handler takes a client for, or why it refuses the client. sent has the client's
// certificate and the intermediate certificates that it sends with it. explain signs nothing, and asks no cluster.
func (h *Handler) explain(sent []*x509.Certificate, now time.Time) Explanation {
	e := Explanation{Explanation: h.identify(sent, now)}
	if e.Reason != "" {
		return e
	}
	if h.cache == nil {
		e.Credential = h.explainToken()
		return e
	}
	with, err := h.cache.Maker().Explain(&credential.Client{
		Holder: new(token.Holder), Principal: e.Principal, Groups: e.Groups, Chain: sent, NotAfter: sent[0].NotAfter.Unix(),
	})
	if err != nil {
		refusal := refuseNoCredential(credential.AsRefusal(err))
		e.Reason, e.Advice = refusal.Reason, refusal.Detail
		if cause := refusal.Unwrap(); cause != nil {
			e.Cause = cause.Error()
		}
		return e
	}
	e.Credential = &with
	return e
}

// explainToken says what a token needs of the realm.
func (h *Handler) explainToken() *credential.Explanation {
	e := &credential.Explanation{Kind: jwtKind}
	headers := h.rewriter.Headers()
	for i := range headers {
		if header := &headers[i]; header.HasToken() {
			e.Sends = append(e.Sends, header.Name+": "+header.WithToken(token.Bearer+"…"))
		}
	}
	e.Needs = []string{
		"a JWT realm (a licence with it: Platinum, Enterprise or trial), or OpenSearch's jwt or openid authenticator",
		"allowed_issuer: " + h.identifier.Issuer(),
		"allowed_audiences: " + strings.Join(h.Audience, ", "),
		"token_type: " + h.TokenType,
		"claims.principal: " + h.PrincipalClaim,
		"claims.groups: " + h.GroupsClaim,
		"the keys " + h.Keys + ", as elasticsearch_jwks publishes them, or their shared secret",
	}
	return e
}

// identify returns who the handler takes a client for, whatever its requests go on with.
func (h *Handler) identify(sent []*x509.Certificate, now time.Time) identity.Explanation {
	var sites []identity.Site
	for _, s := range h.server.SitesOf(h) {
		at := identity.Site{Name: s.String(), Asks: s.Asks(), Verifies: s.Verifies()}
		if at.Verifies {
			at.Authorities = s.ClientCAs()
		}
		sites = append(sites, at)
	}
	return h.identifier.Explain(sent, sites, now)
}

// parseCertificates parses a certificate in DER, or a certificate and its intermediates in PEM.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	content, err := textfile.Decode(content)
	if err != nil {
		return nil, err
	}
	if cert, err := x509.ParseCertificate(content); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	blocks, damaged := pemfile.Blocks(content)
	if damaged > 0 {
		return nil, pemfile.ErrDamaged
	}
	var certs []*x509.Certificate
	for _, block := range blocks {
		der := block.Bytes
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
		case "TRUSTED CERTIFICATE": // of OpenSSL, which puts more after the certificate
			var cert asn1.RawValue
			if _, err := asn1.Unmarshal(der, &cert); err == nil {
				der = cert.FullBytes
			}
		default:
			continue // it may be a private key in the same file
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file cannot be read, "+
				"nor would a TLS handshake accept it: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it: " +
			"give the client's certificate in PEM or DER, not its key or its signing request")
	}
	return certs, nil
}

func encodeCertificates(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// explain asks every handler of the configuration about a certificate.
func (a *App) explain(certs []*x509.Certificate, now time.Time) ([]Explanation, error) {
	a.mu.Lock()
	handlers := a.handlers
	a.mu.Unlock()
	if len(handlers) == 0 {
		return nil, errNoHandler
	}
	explanations := make([]Explanation, len(handlers))
	for i, h := range handlers {
		explanations[i] = h.explain(certs, now)
	}
	return explanations, nil
}

var errNoHandler = errors.New("the configuration has no elasticsearch_jwt handler")

func explainCommand() *cobra.Command {
	var client adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain <certificate> [--address <listener> | --config <path> [--adapter <name>]] [--json]",
		Short: "Says who a certificate is, or why it is nobody",
		Long: `
Shows for each elasticsearch_jwt handler who the holder of a certificate is: the principal, the
groups, and each claim with the setting that it comes from; or the reason of the refusal, and
what to change. It signs nothing. The file is PEM, in which intermediates can follow the
certificate, or DER.

The chain is checked against the handler's own trust_pool, or else against the client_auth of the
sites that the handler is in; what other verifiers there are is not asked. If it fits none, the
certificate that is at fault is named, and what is the matter with it.

It asks the admin API of a running Caddy. With --config it reads a configuration instead, without
running it, and needs no Caddy that runs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := os.ReadFile(args[0]) // once, so it may be a pipe, such as /dev/stdin or <(…) of a shell
			if err != nil {
				return fmt.Errorf("reading the certificate: %w", err)
			}
			certs, err := parseCertificates(content) // so that no private key in the file is sent
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			var explanations []Explanation
			if client.config != "" {
				explanations, err = explainOffline(client.config, client.adapter, certs)
			} else {
				err = client.ask(http.MethodPost, "/explain", encodeCertificates(certs), &explanations)
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), explanations)
			} else {
				err = printExplanations(cmd.OutOrStdout(), explanations)
			}
			if err != nil {
				return err
			}
			for _, e := range explanations {
				if e.Reason != "" {
					return errors.New("the certificate is refused")
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON instead of text")
	cmd.Flags().StringVar(&client.address, "address", "", "Address of the administration API listener to ask")
	cmd.Flags().StringVarP(&client.config, "config", "c", "", "Configuration file to read, instead of asking")
	cmd.Flags().StringVarP(&client.adapter, "adapter", "a", "", "Name of config adapter to apply (with --config)")
	cmd.MarkFlagsMutuallyExclusive("address", "config")
	return cmd
}

// explainOffline explains a certificate with a configuration that does not run. It provisions the configuration, as
// `caddy validate` does.
func explainOffline(file, adapter string, certs []*x509.Certificate) ([]Explanation, error) {
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, fmt.Errorf("loading the configuration: %w", err)
	}
	var parsed caddy.Config
	if err := json.Unmarshal(config, &parsed); err != nil {
		return nil, fmt.Errorf("decoding the configuration: %w", err)
	}
	parsed.Admin = &caddy.AdminConfig{Disabled: true}
	parsed.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "ERROR"}},
	}}
	ctx, err := caddy.ProvisionContext(&parsed)
	if err != nil {
		return nil, fmt.Errorf("provisioning the configuration: %w", err)
	}
	app, err := ctx.AppIfConfigured("elasticsearch_jwt")
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return nil, errNoHandler
	case err != nil:
		return nil, fmt.Errorf("loading the app elasticsearch_jwt: %w", err)
	}
	return app.(*App).explain(certs, time.Now())
}

func printExplanations(w io.Writer, explanations []Explanation) error {
	for i, e := range explanations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if e.Issuer != "" {
			fmt.Fprintf(w, "%s for %s\n", e.Issuer, strings.Join(e.Audience, ", "))
		}
		fmt.Fprintf(w, "  trust      %s\n", e.Trust)
		if e.Reason != "" {
			fmt.Fprintf(w, "  refused    %s: %s\n", e.Reason, e.Advice)
			if e.Cause != "" {
				fmt.Fprintf(w, "  because    %s\n", e.Cause)
			}
			continue
		}
		fmt.Fprintf(w, "  principal  %q\n", e.Principal)
		fmt.Fprintf(w, "  groups     %q\n", e.Groups)
		if e.Credential != nil {
			printCredential(w, e.Credential)
		}
		if len(e.Claims) == 0 {
			continue
		}
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "  CLAIM\tVALUE\tFROM")
		for _, c := range e.Claims {
			value, err := json.Marshal(c.Value)
			if err != nil {
				return err
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\n", c.Name, value, c.From)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func printCredential(w io.Writer, with *credential.Explanation) {
	fmt.Fprintf(w, "  credential %s\n", with.Kind)
	for _, list := range []struct {
		name  string
		lines []string
	}{{"sends", with.Sends}, {"needs", with.Needs}, {"missing", with.Missing}} {
		for _, line := range list.lines {
			fmt.Fprintf(w, "  %-10s %s\n", list.name, line)
		}
	}
}
