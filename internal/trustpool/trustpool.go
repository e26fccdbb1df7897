// Package trustpool has the authorities that client certificates must lead to, from files that can change while
// Caddy runs.
package trustpool

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pemfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// Files has the authorities of some files, and others that never change. Whoever reads it must watch the files: see
// [Files.Watched].
type Files struct {
	files []*watch.Setting[[]*x509.Certificate]
	fixed []*x509.Certificate

	mu    sync.Mutex // held by who makes a pool
	known atomic.Pointer[pool]
}

// pool is what the files were at a version of them.
type pool struct {
	version uint64
	certs   *x509.CertPool
}

// Open reads the files for the first time. The authorities in fixed are added to theirs.
func Open(names []string, fixed []*x509.Certificate, logger *zap.Logger) (*Files, error) {
	f := &Files{fixed: fixed}
	for _, name := range names {
		file, err := watch.OpenFile("trust_pool", name, Parse, logger)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, file)
	}
	return f, nil
}

// Watched returns the files to watch.
func (f *Files) Watched() []watch.Watched {
	watched := make([]watch.Watched, len(f.files))
	for i, file := range f.files {
		watched[i] = file
	}
	return watched
}

// CertPool returns the authorities as they are now. It returns the same pool until a file has changed, and another
// one after that, so that whoever decides something by a pool can tell whether the decision still counts.
func (f *Files) CertPool() *x509.CertPool {
	if known := f.known.Load(); known != nil && known.version == f.version() {
		return known.certs
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	version := f.version() // before the files, so that a change meanwhile makes another pool
	if known := f.known.Load(); known != nil && known.version == version {
		return known.certs
	}
	certs := x509.NewCertPool()
	for _, cert := range f.certificates() {
		certs.AddCert(cert)
	}
	f.known.Store(&pool{version, certs})
	return certs
}

func (f *Files) certificates() []*x509.Certificate {
	certs := slices.Clone(f.fixed)
	for _, file := range f.files {
		certs = append(certs, file.Get()...)
	}
	return certs
}

// version is another number after each change of a file: the sum of all versions, none of which ever falls.
func (f *Files) version() uint64 {
	sum := uint64(0)
	for _, file := range f.files {
		sum += file.Version()
	}
	return sum
}

// Parse reads the authorities of a file, in PEM. There must be one, and no damaged block: who leads to an authority
// that was lost would be refused. Blocks of other types do not matter, since the key can be in the same file.
func Parse(content []byte) ([]*x509.Certificate, error) {
	content, err := textfile.Decode(content)
	if err != nil {
		return nil, err
	}
	blocks, damaged := pemfile.Blocks(content)
	if damaged > 0 {
		return nil, pemfile.ErrDamaged
	}
	var certs []*x509.Certificate
	var trusted [][]byte
	for _, block := range blocks {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE": // the older name
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d of the file cannot be read: %w", len(certs)+1, err)
			}
			certs = append(certs, cert)
		case "TRUSTED CERTIFICATE":
			trusted = append(trusted, block.Bytes)
		}
	}
	if err := checkTrusted(trusted, certs); err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it: " +
			"name a file with the authority of the client certificates, in PEM (BEGIN CERTIFICATE)")
	}
	return certs, nil
}

// checkTrusted returns an error if one of the blocks TRUSTED CERTIFICATE is not among the certificates as well. In
// such a block, which is OpenSSL's, there is what the authority is trusted for behind the certificate, which can be
// that it is not. So it does not count by itself. Some bundles have each authority in both forms.
func checkTrusted(blocks [][]byte, certs []*x509.Certificate) error {
	for _, block := range blocks {
		if !slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return bytes.HasPrefix(block, c.Raw) }) {
			return errors.New("an authority is only there as BEGIN TRUSTED CERTIFICATE, which OpenSSL alone reads: " +
				"if its certificates shall count, convert it with `openssl x509 -in <file> -out clients-ca.pem`")
		}
	}
	return nil
}
