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
	// HTTP is the certificate that the node serves HTTPS with.
	HTTP TLS
	// Settings are more lines for elasticsearch.yml or opensearch.yml. Their
	// common indentation is removed.
	Settings string
	// Files are more files below the config folder, by their relative paths.
	Files map[string][]byte
	// Hosts are names and the addresses that they have for this node alone, as
	// entries in /etc/hosts. With it the node knows no other name.
	Hosts map[string]string
	// JavaOptions are more options for the JVM.
	JavaOptions []string
	// Heap is the size of the JVM's heap. Default: 512m.
	Heap string
	// Optimize lets the JVM compile as it does in production, for measurements.
	// By default it compiles quickly and once, which halves the time of a start.
	Optimize bool
	// StartTimeout is how long Start waits until the node answers. Default: 3m.
	StartTimeout time.Duration
	// Logf is told what takes long (a download). Default: nobody is.
	Logf func(format string, args ...any)
}

// TLS is a certificate for 127.0.0.1, all of it PEM.
type TLS struct {
	// Cert is the certificate, followed by its intermediates if any.
	Cert []byte
	// Key is its private key in PKCS#8 form.
	Key []byte
	// CA is what a client trusts to verify Cert.
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

// majorVersion reads the first number of a full version.
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
