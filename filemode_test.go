package esjwt_test

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAFileWithASecretThatEverybodyCanReadIsAWarning, and never an error: in a container there may be
// nobody else. The one behind a link is what counts, as with the files of a Kubernetes Secret.
func TestAFileWithASecretThatEverybodyCanReadIsAWarning(t *testing.T) {
	const warning = "every account of this machine may read or write a file with a secret in it"
	told := func(r *replica) (lines []string) {
		for line := range strings.Lines(r.logs.String()) {
			if strings.Contains(line, warning) {
				require.Contains(t, line, `"warn"`)
				lines = append(lines, line)
			}
		}
		return lines
	}
	for mode, mended := range map[os.FileMode]string{
		0o400: "", 0o440: "", 0o600: "", 0o640: "", 0o660: "", 0o700: "",
		0o444: "0640", 0o604: "0600", 0o644: "0640", 0o664: "0640", 0o666: "0640", 0o602: "0600", 0o777: "0640",
	} {
		t.Run(mode.String(), func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			require.NoError(t, err)
			link := func(name string, content []byte) string {
				file := filepath.Join(dir, name)
				require.NoError(t, os.WriteFile(file+"-itself", content, 0o600))
				require.NoError(t, os.Chmod(file+"-itself", mode))
				require.NoError(t, os.Symlink(file+"-itself", file))
				return file
			}
			links := []string{
				link("key", pkcs8(t, ecKey(t, elliptic.P256()))),
				link("hmac", []byte(hmacSecret)),
				link("shared", []byte("opensesame")),
				link("pin", []byte("1234")),
				link("pin-of-a-uri", []byte("1234")),
				link("pin-value", []byte("1234")),
			}
			hsm := `{"source":"kms","uri":"{env.ESJWT_KMS}:token=es?`
			r := newReplica(t, replicaConfig{
				handler: `,"shared_secret":"{file.` + links[2] + `}"`,
				keys: map[string]string{
					"file": `{"source":"file","files":["` + links[0] + `"]}`,
					"hmac": `{"source":"secret","secret":"{file.` + links[1] + `}"}`,
					"pin":  hsm + `pin-source=` + links[3] + `"}`,
					"uri":  hsm + `pin-source=file:` + links[4] + `"}`,
					"pins": hsm + `pin-value={file.` + links[5] + `}"}`,
				},
			})
			if mended == "" {
				require.Empty(t, told(r))
				return
			}
			lines := told(r)
			require.Len(t, lines, len(links), "each once")
			for _, link := range links {
				require.Condition(t, func() bool {
					return slices.ContainsFunc(lines, func(line string) bool {
						return strings.Contains(line, "chmod "+mended+" "+link+"-itself") &&
							strings.Contains(line, `"mode":"`+octal(mode)+`"`) && strings.Contains(line, `"link":"`+link+`"`)
					})
				}, "%s in %s", link, lines)
			}
		})
	}
	t.Run("a public key is no secret", func(t *testing.T) {
		key := ecKey(t, elliptic.P256())
		public := writeFile(t, "public.pem", spki(t, ecKey(t, elliptic.P256()).Public()))
		require.NoError(t, os.Chmod(public, 0o644))
		require.Empty(t, told(newReplica(t, fileKeys(t, "", keyFile(t, key), public))))
	})
}

func octal(mode os.FileMode) string {
	digits := []byte("0000")
	for i := range digits {
		digits[i] += byte(mode >> (3 * (3 - i)) & 7)
	}
	return string(digits)
}
