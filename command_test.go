package esjwt_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	esjwt "github.com/edgejwt/caddy-elasticsearch-jwt"
	"github.com/edgejwt/caddy-elasticsearch-jwt/keys"
)

// command runs `caddy elasticsearch-jwt` with arguments, and returns what it prints.
func command(t testing.TB, args ...string) (string, error) {
	t.Helper()
	registered, ok := caddycmd.Commands()["elasticsearch-jwt"]
	require.True(t, ok)
	caddy := &cobra.Command{Use: "caddy", SilenceErrors: true, SilenceUsage: true}
	cmd := &cobra.Command{Use: registered.Name}
	registered.CobraFunc(cmd)
	caddy.AddCommand(cmd)
	var out bytes.Buffer
	caddy.SetOut(&out)
	caddy.SetErr(&out)
	caddy.SetArgs(append([]string{registered.Name}, args...))
	err := caddy.ExecuteContext(t.Context())
	return out.String(), err
}

func (a *administered) command(verb string, args ...string) string {
	a.t.Helper()
	out, err := command(a.t, append([]string{verb, "--address", a.admin}, args...)...)
	require.NoError(a.t, err)
	return out
}

// columns are the fields of a table's line.
func columns(t testing.TB, out, first string) []string {
	t.Helper()
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == first {
			return fields
		}
	}
	t.Fatalf("no line begins with %s in:\n%s", first, out)
	return nil
}

func TestKeysPrintsATableForPeople(t *testing.T) {
	a := newAdministered(t, manySources)
	out := a.command("keys")
	require.Equal(t, []string{"KID", "ALGORITHM", "STATE", "SIGNS", "FROM", "LEAVES", "THE", "JWKS"},
		columns(t, out, "KID"))
	for _, set := range a.sets() {
		require.Contains(t, out, set.Name+" ("+set.Source+")")
		for _, key := range set.Keys {
			if key.ID == "" {
				require.Contains(t, out, "(a secret)")
				continue
			}
			require.Equal(t, []string{key.ID, key.Algorithm, key.State}, columns(t, out, key.ID)[:3])
			if !key.SignsFrom.IsZero() {
				require.Contains(t, out, key.SignsFrom.Local().Format("2006-01-02 15:04:05 MST"))
			}
		}
		if !set.NextRotation.IsZero() {
			require.Contains(t, out, "next rotation "+set.NextRotation.Local().Format("2006-01-02 15:04:05 MST"))
		}
	}
	require.NotContains(t, out, "1970")
	require.NotContains(t, out, "0001")

	out = a.command("keys", "files")
	require.Contains(t, out, "files (file)")
	require.NotContains(t, out, "default")
}

func TestKeysPrintsJSONForPrograms(t *testing.T) {
	a := newAdministered(t, manySources)
	var sets []esjwt.SetStatus
	require.NoError(t, json.Unmarshal([]byte(a.command("keys", "--json")), &sets))
	require.Equal(t, a.sets(), sets)
	require.NoError(t, json.Unmarshal([]byte(a.command("keys", "default", "--json")), &sets))
	require.Len(t, sets, 1, "a list, also of one")
	require.Equal(t, "default", sets[0].Name)
}

func TestKeysSaysWhatIsWrong(t *testing.T) {
	a := newAdministered(t, strings.NewReplacer("{{settings}}", "",
		"admin off", "admin {{admin}}\nelasticsearch_jwt {\nkeys lost kms {\nuri softkms:path=/no/such/key.pem\n}\n}",
	).Replace(minimal))
	require.Equal(t, `lost (kms)
  problem: softkms:path=/no/such/key.pem: the KMS has no such key, or does not give it out: key not found
`, a.command("keys", "lost"))
}

func TestJWKSPrintsWhatTheSiteServes(t *testing.T) {
	a := newAdministered(t, manySources)
	served := a.get(a.httpClient(), jwksPath).body
	require.JSONEq(t, served, a.command("jwks"))
	require.JSONEq(t, served, a.command("jwks", "default"))
	var set jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal([]byte(a.command("jwks", "hsm")), &set))
	require.Equal(t, thumbprint(t, rsaKey()), set.Keys[0].KeyID)
}

func TestRotateSaysWhatHappensWhen(t *testing.T) {
	a := newAdministered(t, manySources)
	out := a.command("rotate")
	signing := columns(t, out, "signing")
	require.Equal(t, "from", signing[2])
	require.Contains(t, out, "not before every replica and every cache of the JWKS can know it")
	require.Contains(t, out, "Tokens\nof the old key stay good until they expire.")
	keys := a.sets()[0].Keys // the newest first
	require.Equal(t, []string{"waiting", "next", "signing"}, []string{keys[0].State, keys[1].State, keys[2].State})
	require.Equal(t, keys[1].ID, signing[1])

	_, err := command(t, "rotate", "--address", a.admin)
	require.ErrorContains(t, err, "nothing was changed: the key "+signing[1]+" begins to sign at ")
}

func TestRotatePrintsJSONForPrograms(t *testing.T) {
	a := newAdministered(t, manySources)
	var rotation keys.Rotation
	require.NoError(t, json.Unmarshal([]byte(a.command("rotate", "default", "--json")), &rotation))
	require.NotEmpty(t, rotation.Signing)
	require.Greater(t, time.Until(rotation.At), 2*time.Minute)
}

func TestRevokeSaysWhatTheClustersDoAndByWhen(t *testing.T) {
	a := newAdministered(t, manySources)
	old := a.sets()[0].Keys[1].ID
	out := a.command("revoke", "--", old)
	require.Equal(t, []string{"revoked", old}, columns(t, out, "revoked"))
	fresh := columns(t, out, "fresh")
	require.Equal(t, []string{"signs", "from"}, fresh[2:4])
	require.Contains(t, out, "leave the JWKS at ")
	require.Contains(t, out, "the first token of the fresh key makes each node")
	require.Equal(t, fresh[1], a.sets()[0].Keys[0].ID)

	_, err := command(t, "revoke", "--address", a.admin, "--", old)
	require.ErrorContains(t, err, "nothing was changed: the key "+old+" was revoked already, as of ")
	require.ErrorContains(t, err, ", and leaves the JWKS at ")
	require.ErrorContains(t, err, "to take it out at once, revoke it with --now")
	a.command("revoke", "--now", "--", old)
	_, err = command(t, "revoke", "--now", "--address", a.admin, "--", old)
	require.ErrorContains(t, err, "was revoked already, as of ")
	require.NotContains(t, err.Error(), "--now")
}

func TestRevokeAllGivesEveryKeyUp(t *testing.T) {
	a := newAdministered(t, manySources)
	before := a.sets()[0].Keys
	out := a.command("revoke", "--all")
	for _, key := range before {
		require.Contains(t, out, "revoked  "+key.ID)
	}
	require.NotContains(t, out, "\nfresh ", "it signs at once")
	signing := columns(t, out, "signing")[1]
	client := a.httpClient(a.clients.client("alice", "analysts"))
	require.Equal(t, http.StatusOK, a.get(client, "/").StatusCode)
	require.Equal(t, signing, a.token(a.upstream.last(t)).header.KeyID)

	var rotation keys.Rotation
	require.NoError(t, json.Unmarshal([]byte(a.command("revoke", "--all", "--set", "default", "--json")), &rotation))
	require.Contains(t, rotation.Revoked, signing)
}

func TestACommandThatCannotBeDoneSaysWhy(t *testing.T) {
	a := newAdministered(t, manySources)
	nobody := freeAddress(t)
	for name, c := range map[string]struct {
		args      []string
		complaint string
	}{
		"a set that is not there": {
			[]string{"keys", "other", "--address", a.admin}, `there is no key set "other": configure it`,
		},
		"a set with a path in it": {[]string{"keys", "../../config", "--address", a.admin}, "there is no"},
		"the JWKS of a secret": {
			[]string{"jwks", "shared", "--address", a.admin}, "the key set shared is a shared secret: it has no public key",
		},
		"a set that is not Caddy's": {
			[]string{"rotate", "files", "--address", a.admin}, "its keys are not Caddy's to make",
		},
		"a key that is not there": {[]string{"revoke", "xyz", "--address", a.admin}, `has no key "xyz": it has `},
		"no key": {
			[]string{"revoke", "--address", a.admin},
			"name the kid of the key to revoke, which `caddy elasticsearch-jwt keys` lists; or write --all",
		},
		"a key and all": {
			[]string{"revoke", "xyz", "--all", "--address", a.admin}, "name the kid of the key to revoke",
		},
		"a kid with a hyphen": {
			[]string{"revoke", "-xyz", "--address", a.admin}, "as in `revoke --now -- -xyz`",
		},
		"a command that is mistyped": {
			[]string{"rotat", "--address", a.admin}, `unknown command "rotat": did you mean rotate?`,
		},
		"a command that is mistyped, with a flag": {[]string{"keyz", "--json"}, "did you mean keys?"},
		"a flag that is mistyped":                 {[]string{"keys", "--jsn"}, "unknown flag: --jsn: did you mean --json?"},
		"a flag of revoke that is mistyped":       {[]string{"revoke", "--nw", "xyz"}, "--nw: did you mean --now?"},
		"a flag that is none":                     {[]string{"jwks", "--signature"}, "use one of --adapter, --address, --config"},
		"a flag before the command":               {[]string{"--json"}, "--json stands before a command"},
		"the help of a command that is mistyped":  {[]string{"help", "rotat"}, "did you mean rotate?"},
		"a command that is none":                  {[]string{"sign"}, `unknown command "sign": use one of `},
		"two sets": {
			[]string{"rotate", "one", "two", "--address", a.admin}, "accepts at most 1 arg",
		},
		"a Caddy that does not run": {
			[]string{"keys", "--address", nobody}, "asking the admin API at " + nobody +
				": is Caddy running, and is its admin endpoint on?",
		},
		"an address that is none":           {[]string{"keys", "--address", "a b c:x"}, "invalid admin address"},
		"a configuration that is not there": {[]string{"keys", "--config", "/no/such/Caddyfile"}, "/no/such/Caddyfile"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, c.args...)
			require.ErrorContains(t, err, c.complaint)
			require.Empty(t, out)
			require.NotContains(t, err.Error(), "{")
		})
	}
}

// TestACommandFindsTheAdminEndpointInTheConfiguration, as Caddy's own commands do.
func TestACommandFindsTheAdminEndpointInTheConfiguration(t *testing.T) {
	a := newAdministered(t, manySources)
	caddyfile := writeFile(t, "Caddyfile", []byte("{\nadmin "+a.admin+"\n}\n"))
	out, err := command(t, "keys", "--config", caddyfile, "--adapter", "caddyfile")
	require.NoError(t, err)
	require.Contains(t, out, "default (storage)")
}

func TestGenerateMakesAKeyFileForItsOwner(t *testing.T) {
	for _, c := range []struct {
		args      []string
		algorithm string
		bits      int
	}{
		{nil, "RS256", 2048},
		{[]string{"--algorithm", "PS384", "--key-size", "3072"}, "PS384", 3072},
		{[]string{"--algorithm", "ES256"}, "ES256", 0},
		{[]string{"--algorithm", "ES512"}, "ES512", 0},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key.json")
			out, err := command(t, append([]string{"generate", "--output", file}, c.args...)...)
			require.NoError(t, err)
			info, err := os.Stat(file)
			require.NoError(t, err)
			if runtime.GOOS != "windows" {
				require.Equal(t, os.FileMode(0o600), info.Mode())
			}
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			require.True(t, bytes.HasSuffix(content, []byte("}\n")))

			var generated jose.JSONWebKey
			require.NoError(t, json.Unmarshal(content, &generated))
			require.Equal(t, c.algorithm, generated.Algorithm)
			require.False(t, generated.IsPublic())
			require.Equal(t, file+": a private key for "+c.algorithm+", kid "+generated.KeyID+"\n", out)
			if key, ok := generated.Key.(*rsa.PrivateKey); ok {
				require.Equal(t, c.bits, key.N.BitLen())
			}

			// It is what the source `file` reads.
			r := startReplica(t, fileKeys(t, "", file))
			require.Equal(t, []string{c.algorithm + " " + generated.KeyID}, r.kidsAndAlgorithms())
			require.Equal(t, generated.KeyID, r.algorithmAndKid(c.algorithm))
		})
	}
}

func TestGenerateNeverOverwrites(t *testing.T) {
	there := writeFile(t, "key.json", []byte("mine"))
	dangling := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), dangling))
	for name, c := range map[string]struct {
		args      []string
		complaint string
	}{
		"a file that is there":       {[]string{"-o", there}, "file exists, and is not overwritten: name another one"},
		"a link to a file":           {[]string{"-o", dangling}, "file exists, and is not overwritten: name another one"},
		"a folder that is not there": {[]string{"-o", "/no/such/folder/key.json"}, "no such file or directory"},
		"no output":                  {nil, `required flag(s) "output" not set`},
		"an algorithm of secrets":    {[]string{"-o", there + "2", "--algorithm", "HS256"}, "use one of RS256"},
		"an unknown algorithm":       {[]string{"-o", there + "2", "--algorithm", "EdDSA"}, "use one of RS256"},
		"a small key":                {[]string{"-o", there + "2", "--key-size", "1024"}, "use 2048, 3072 or 4096, not 1024"},
		"a size of a curve": {
			[]string{"-o", there + "2", "--algorithm", "ES256", "--key-size", "384"}, "the curve of ES256 has one size",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := command(t, append([]string{"generate"}, c.args...)...)
			require.ErrorContains(t, err, c.complaint)
		})
	}
	content, err := os.ReadFile(there)
	require.NoError(t, err)
	require.Equal(t, "mine", string(content))
	require.NoFileExists(t, there+"2")
}

// asCaddy makes this test program a caddy.
const asCaddy = "ESJWT_TEST_AS_CADDY"

func init() {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		os.Exit(0)
	}
}

// TestTheProgramsExitCodeAndStreams: what programs read is on stdout alone, errors on stderr.
func TestTheProgramsExitCodeAndStreams(t *testing.T) {
	a := newAdministered(t, manySources)
	program, err := os.Executable()
	require.NoError(t, err)
	run := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"elasticsearch-jwt"}, args...)...)
		cmd.Env = append(os.Environ(), asCaddy+"=1", "HOME="+t.TempDir())
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
	code, stdout, stderr := run("keys", "--json", "--address", a.admin)
	require.Zero(t, code, stderr)
	require.True(t, json.Valid([]byte(stdout)), stdout)
	require.Empty(t, stderr)

	code, stdout, stderr = run("revoke", "xyz", "--json", "--address", a.admin)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, `Error: nothing was changed: the set default has no key "xyz"`)
	require.NotContains(t, stderr, "Usage:", "the arguments were right")

	code, stdout, _ = run("--help")
	require.Zero(t, code)
	for _, verb := range []string{"keys", "jwks", "rotate", "revoke", "generate"} {
		require.Contains(t, stdout, "\n  "+verb+" ")
	}
	code, stdout, _ = run("revoke", "--help")
	require.Zero(t, code)
	require.Contains(t, stdout, "caddy elasticsearch-jwt revoke <kid> [--now]")
}

// TestTheHelpIsThereHoweverSomebodyAsksForIt.
func TestTheHelpIsThereHoweverSomebodyAsksForIt(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"-h"}, {"help"}} {
		out, err := command(t, args...)
		require.NoError(t, err)
		require.Contains(t, out, "Says who a certificate is, or why it is nobody")
	}
	for _, args := range [][]string{{"revoke", "--help"}, {"help", "revoke"}} {
		out, err := command(t, args...)
		require.NoError(t, err)
		require.Contains(t, out, "Gives a key up that somebody else may have")
	}
}
