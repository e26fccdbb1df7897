package esjwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/keyset"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/mistyped"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
	keystorage "github.com/edgejwt/caddy-elasticsearch-jwt/keys/storage"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "elasticsearch-jwt",
		Usage: "keys|jwks|rotate|revoke|generate|explain …",
		Short: "Looks after the keys of elasticsearch_jwt, and explains certificates",
		Long: `
Shows, rotates and revokes the keys that sign tokens for Elasticsearch and OpenSearch, through
the admin API of a running Caddy, at '` + caddy.DefaultAdminListen + `' or where --address or --config
says; generates key files; and explains who a certificate is.

What a command changes is stored, and every replica on the same storage follows within half a
minute.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(keysCommand(), jwksCommand(), rotateCommand(), revokeCommand(),
				generateCommand(), explainCommand())
			mistyped.Refuse(cmd)
		},
	})
}

// adminClient sends requests to the admin API of a running Caddy.
type adminClient struct {
	address, config, adapter string
}

func (c *adminClient) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.address, "address", "",
		"Address of the administration API listener (if --config is not used)")
	cmd.Flags().StringVarP(&c.config, "config", "c", "", "Configuration file (if --address is not used)")
	cmd.Flags().StringVarP(&c.adapter, "adapter", "a", "", "Name of config adapter to apply (if --config is used)")
}

// ask sends a request with a body, or nil, and decodes the answer. A body that is not []byte is sent as JSON.
func (c *adminClient) ask(method, path string, body, answer any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(c.address, nil, c.config, c.adapter)
	if err != nil {
		return fmt.Errorf("finding the admin API: %w", err)
	}
	var encoded io.Reader
	headers := http.Header{}
	if text, ok := body.([]byte); ok {
		encoded = bytes.NewReader(text)
	} else if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		encoded = bytes.NewReader(text)
		headers.Set("Content-Type", "application/json")
	}
	res, err := caddycmd.AdminAPIRequest(address, method, adminBase+path, headers, encoded)
	if err != nil {
		return adminError(address, err)
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(answer)
}

// adminError returns the error that Caddy has answered with, or says that there was no answer.
func adminError(address string, err error) error {
	_, text, answered := strings.Cut(err.Error(), "caddy responded with error: ")
	if !answered {
		return fmt.Errorf("asking the admin API at %s: "+
			"is Caddy running, and is its admin endpoint on? %w", address, err)
	}
	var refusal struct {
		Error string `json:"error"`
	}
	start := strings.IndexByte(text, '{')
	if start >= 0 && json.Unmarshal([]byte(text[start:]), &refusal) == nil && refusal.Error != "" {
		return errors.New(refusal.Error)
	}
	return err
}

func keysCommand() *cobra.Command {
	var client adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "keys [<set>] [--json]",
		Short: "Lists the key sets, or one of them, and their keys",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var sets []keyset.Status
			if len(args) == 1 {
				sets = make([]keyset.Status, 1)
				if err := client.ask(http.MethodGet, "/keys/"+url.PathEscape(args[0]), nil, &sets[0]); err != nil {
					return err
				}
			} else if err := client.ask(http.MethodGet, "/keys", nil, &sets); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), sets)
			}
			return printKeySets(cmd.OutOrStdout(), sets)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON instead of a table")
	client.flags(cmd)
	return cmd
}

func jwksCommand() *cobra.Command {
	var client adminClient
	cmd := &cobra.Command{
		Use:   "jwks [<set>]",
		Short: "Prints the public keys of a set as a JWK Set",
		Long: `
Prints the public keys of a set (default: default) as a JWK Set (RFC 7517), for a cluster that
reads it from a file. Such a cluster does not notice a rotation: set 'rotate_every never', and
to rotate, print the JWKS, install it on the cluster, and then run 'rotate'. The successor is
in the JWKS from the day its predecessor began to sign.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var jwks json.RawMessage
			if err := client.ask(http.MethodGet, "/keys/"+keySetArgument(args)+"/jwks", nil, &jwks); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), jwks)
		},
	}
	client.flags(cmd)
	return cmd
}

func rotateCommand() *cobra.Command {
	var client adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate [<set>] [--json]",
		Short: "Signs with the next key from now on",
		Long: `
Makes the published successor of the signing key of a set (default: default) sign, and makes a
new successor. No request fails: every cluster can know the successor already. If the last
rotation was less than a few minutes ago, this one waits until they can.

Tokens of the old key go on until they expire, and it stays in the JWKS until then. To give a
key up because somebody else may have it, use 'revoke'.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rotation keys.Rotation
			if err := client.ask(http.MethodPost, "/keys/"+keySetArgument(args)+"/rotate", nil, &rotation); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rotation)
			}
			printRotation(cmd.OutOrStdout(), rotation)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON instead of text")
	client.flags(cmd)
	return cmd
}

func revokeCommand() *cobra.Command {
	var client adminClient
	var request revokeRequest
	var set string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke <kid> [--now] [--set <set>] | revoke --all [--set <set>]",
		Short: "Gives a key up, or all keys of a set",
		Long: `
Gives a key up that somebody else may have. The published successor signs at once, and a fresh
key is made. A few minutes later, when every replica must have heard of it, the fresh key takes
the place of the revoked one in the JWKS, and signs as soon as every HTTP cache must know it: its
first token makes each cluster read the JWKS and forget the revoked key. No request fails.

With --now the revoked key leaves the JWKS at once. Tokens that other replicas go on signing
with it for up to half a minute may then be refused.

With --all every key of the set is given up, and a new one signs at once: for when the storage
was stolen. Until each cluster can read the new JWKS, for as long as max_age and half a minute
for the other replicas, requests can be refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				request.KeyID = args[0]
			}
			if (request.KeyID == "") != request.All {
				return errors.New("name the kid of the key to revoke, " +
					"which `caddy elasticsearch-jwt keys` lists; or write --all")
			}
			var rotation keys.Rotation
			if err := client.ask(http.MethodPost, "/keys/"+url.PathEscape(set)+"/revoke", request, &rotation); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rotation)
			}
			printRotation(cmd.OutOrStdout(), rotation)
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "shorthand") {
			return fmt.Errorf("%w: a kid that begins with a hyphen stands after two of them, "+
				"as in `revoke --now -- -xyz`", err)
		}
		return mistyped.Flag(cmd, err)
	})
	cmd.Flags().BoolVar(&request.Now, "now", false, "Take the key out of the JWKS at once")
	cmd.Flags().BoolVar(&request.All, "all", false, "Give up every key of the set")
	cmd.Flags().StringVar(&set, "set", defaultKeySet, "The key set")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON instead of text")
	client.flags(cmd)
	return cmd
}

func generateCommand() *cobra.Command {
	var algorithm, output string
	var size int
	cmd := &cobra.Command{
		Use:   "generate --output <file> [--algorithm <name>] [--key-size <bits>]",
		Short: "Generates a key file for the source `file`",
		Long: `
Generates a private key as a JWK (RFC 7517), for the key source 'file'. The file is made
readable for its owner only, and is never overwritten.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kid, err := generateKeyFile(output, algorithm, size)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: a private key for %s, kid %s\n", output, algorithm, kid)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "The file to make")
	cmd.Flags().StringVar(&algorithm, "algorithm", string(jose.RS256),
		"RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512")
	cmd.Flags().IntVar(&size, "key-size", 0, "The size of an RSA key: 2048, 3072 or 4096 (default 2048)")
	if err := cmd.MarkFlagRequired("output"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// generateKeyFile generates a key and writes it into a new file.
func generateKeyFile(name, algorithm string, size int) (kid string, err error) {
	key, private, err := keystorage.Generate(algorithm, size)
	if err != nil {
		return "", err
	}
	jwk, err := json.MarshalIndent(
		jose.JSONWebKey{Key: private, KeyID: key.ID, Algorithm: algorithm, Use: "sig"}, "", "\t")
	if err != nil {
		return "", fmt.Errorf("encoding the key: %w", err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return "", fmt.Errorf("making the key file: %w, and is not overwritten: name another one", err)
	case err != nil:
		return "", fmt.Errorf("making the key file: %w", err)
	}
	_, err = file.Write(append(jwk, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(name) // it may have only a part of the key
		return "", fmt.Errorf("writing the key file: %w", err)
	}
	return key.ID, nil
}

// keySetArgument returns the key set that a command's arguments name, as a part of a URL.
func keySetArgument(args []string) string {
	if len(args) == 1 {
		return url.PathEscape(args[0])
	}
	return defaultKeySet
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

func printKeySets(w io.Writer, sets []keyset.Status) error {
	for i, set := range sets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%s)", set.Name, set.Source)
		if !set.NextRotation.IsZero() {
			fmt.Fprintf(w, ", next rotation %s", localTime(set.NextRotation))
		}
		fmt.Fprintln(w)
		if set.Problem != "" {
			fmt.Fprintf(w, "  problem: %s\n", set.Problem)
		}
		if len(set.Keys) == 0 {
			continue
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "  KID\tALGORITHM\tSTATE\tSIGNS FROM\tLEAVES THE JWKS")
		for _, key := range set.Keys {
			kid := key.ID
			if kid == "" {
				kid = "(a secret)"
			}
			state := key.State
			if state == keyset.StateSigning && !key.Revoked.IsZero() {
				state += " until it is revoked at " + localTime(key.Revoked)
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n",
				kid, key.Algorithm, state, localTime(key.SignsFrom), localTime(key.Retires))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// printRotation says what a rotation or a revocation means for the clusters.
func printRotation(w io.Writer, r keys.Rotation) {
	for _, kid := range r.Revoked {
		fmt.Fprintf(w, "revoked  %s\n", kid)
	}
	fmt.Fprintf(w, "signing  %s from %s\n", r.Signing, localTime(r.At))
	if r.At.After(time.Now().Add(time.Second)) {
		fmt.Fprintln(w, "         (not before every replica and every cache of the JWKS can know it)")
	}
	if r.Fresh == "" {
		fmt.Fprintf(w, `
Elasticsearch and OpenSearch fetch the JWKS when they see the first token of this key. Tokens
of the old key stay good until they expire.
`)
		return
	}
	if r.Fresh != r.Signing {
		fmt.Fprintf(w, "fresh    %s signs from %s\n", r.Fresh, localTime(r.FreshFrom))
	}
	fmt.Fprintf(w, `
The revoked keys leave the JWKS at %s. Elasticsearch and OpenSearch go on taking their
tokens until they read the JWKS again, which the first token of the fresh key makes each node
do: on its first request after %s. Until some client sends a request, a node that
nobody uses still takes them.
`, localTime(r.Withdrawn), localTime(r.FreshFrom))
}

// localTime formats a time in the local time zone.
func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}
