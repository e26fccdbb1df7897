package realnode

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is what both kinds of nodes need. Only Version and HTTP are required.
type Config struct {
	// Version is the full number of a release, for instance "9.2.0".
	Version string
	// HTTP is the certificate for HTTPS.
	HTTP TLS
	// Settings are more lines for elasticsearch.yml or opensearch.yml. Their
	// common indentation is removed.
	Settings string
	// Files are more files below the config folder, by their relative paths.
	Files map[string][]byte
	// Hosts are the addresses of host names for this node, as in /etc/hosts. If it is
	// set, the node can resolve no other names.
	Hosts map[string]string
	// JavaOptions are more options for the JVM.
	JavaOptions []string
	// Heap is the size of the JVM's heap. Default: 512m.
	Heap string
	// Optimize lets the JVM compile as in production, for measurements. By default,
	// it compiles quickly and only once, so that the node starts in half the time.
	Optimize bool
	// StartTimeout is how long Start waits until the node answers. Default: 3m.
	StartTimeout time.Duration
	// Logf, if it is set, is called before something that takes long (a download).
	Logf func(format string, args ...any)
}

// TLS is a certificate for 127.0.0.1. All fields are PEM.
type TLS struct {
	// Cert is the certificate, followed by its intermediates if any.
	Cert []byte
	// Key is its private key in PKCS#8 form.
	Key []byte
	// CA has the trust anchors with which a client verifies Cert.
	CA []byte
}

func (c *Config) withDefaults() Config {
	filled := *c
	if filled.Heap == "" {
		filled.Heap = "512m"
	}
	if filled.StartTimeout == 0 {
		filled.StartTimeout = 3 * time.Minute
	}
	if filled.Logf == nil {
		filled.Logf = func(string, ...any) {}
	}
	return filled
}

// majorVersion returns the first number of a version.
func majorVersion(version string) (int, error) {
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return 0, fmt.Errorf("version %q: write all of it, for instance 9.2.0", version)
	}
	numbers := make([]int, len(parts))
	for i, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil || number < 0 {
			return 0, fmt.Errorf("version %q: write all of it, for instance 9.2.0", version)
		}
		numbers[i] = number
	}
	return numbers[0], nil
}
