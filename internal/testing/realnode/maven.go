package realnode

import (
	"context"
	"crypto/fips140"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// artifact is a file in a Maven repository.
type artifact struct {
	group, id, version, extension string
}

func (a artifact) String() string {
	return strings.Join([]string{a.group, a.id, a.version, a.extension}, ":")
}

// path returns the path of the artifact in a Maven repository.
func (a artifact) path() string {
	folders := append(strings.Split(a.group, "."), a.id, a.version)
	return filepath.Join(append(folders, a.id+"-"+a.version+"."+a.extension)...)
}

// fetching is held during a fetch, so that two nodes do not fetch the same file at the
// same time.
var fetching sync.Mutex

// fetch returns the artifact's path in the user's Maven repository. If the artifact is
// not there or is damaged, the Maven client fetches it first.
func (a artifact) fetch(ctx context.Context, logf func(string, ...any)) (string, error) {
	fetching.Lock()
	defer fetching.Unlock()
	repository, err := mavenRepository()
	if err != nil {
		return "", err
	}
	path := filepath.Join(repository, a.path())
	switch err := checkWhole(path); {
	case err == nil:
		return path, nil
	case !errors.Is(err, fs.ErrNotExist):
		logf("fetching %s again: %v", a, err)
		if err := a.forget(repository); err != nil {
			return "", err
		}
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", &MissingError{
			What: "the Maven client mvn, which fetches " + a.String(),
			How:  "install it (Debian: apt-get install maven; macOS: brew install maven)",
		}
	}
	logf("fetching %s with mvn (once; it is kept in %s)", a, repository)
	cmd := exec.CommandContext(ctx, mvn, "-B", "-q", "-Dmaven.repo.local="+repository,
		"dependency:get", "-Dartifact="+a.String(), "-Dtransitive=false")
	cmd.Dir = os.TempDir() // a folder without a pom.xml
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch %s with mvn: %w\n%s", a, err, tail(string(output), 15))
	}
	if err := checkWhole(path); err != nil {
		return "", fmt.Errorf("fetch %s with mvn: %w", a, err)
	}
	return path, nil
}

// forget removes the artifact from the repository, so that it is fetched again.
func (a artifact) forget(repository string) error {
	return os.RemoveAll(filepath.Dir(filepath.Join(repository, a.path())))
}

// checkWhole compares a file with the checksum that Maven keeps beside it. If there is
// none, the file passes: unpacking a zip checks the checksums in it.
func checkWhole(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	want, err := os.ReadFile(path + ".sha1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var sum []byte
	// This checksum finds damage, but is not for security. So FIPS 140-3 allows it.
	fips140.WithoutEnforcement(func() {
		h := sha1.New()
		_, err = io.Copy(h, file)
		sum = h.Sum(nil)
	})
	if err != nil {
		return err
	}
	fields := strings.Fields(string(want))
	if got := hex.EncodeToString(sum); len(fields) == 0 || !strings.EqualFold(fields[0], got) {
		return fmt.Errorf("%s is not whole: its SHA-1 is %s, not %s", path, got, strings.TrimSpace(string(want)))
	}
	return nil
}

// mavenRepository is the local repository of the user's Maven settings.
func mavenRepository() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the Maven repository: %w", err)
	}
	settings, err := os.ReadFile(filepath.Join(home, ".m2", "settings.xml"))
	if err == nil {
		if path := parseLocalRepository(settings, home); path != "" {
			return path, nil
		}
	}
	return filepath.Join(home, ".m2", "repository"), nil
}

// parseLocalRepository reads <localRepository> from a Maven settings file.
func parseLocalRepository(settings []byte, home string) string {
	var parsed struct {
		LocalRepository string `xml:"localRepository"`
	}
	if xml.Unmarshal(settings, &parsed) != nil {
		return ""
	}
	path := strings.TrimSpace(parsed.LocalRepository)
	path = strings.ReplaceAll(path, "${user.home}", home)
	return os.Expand(path, func(name string) string {
		return os.Getenv(strings.TrimPrefix(name, "env."))
	})
}
