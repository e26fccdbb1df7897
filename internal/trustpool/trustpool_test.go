package trustpool_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/bubble"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/trustpool"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/watch"
)

// authority returns the certificate of an authority, and the same in PEM.
func authority(t testing.TB, name string) (*x509.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, block("CERTIFICATE", der)
}

func block(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool
}

func TestAFileOfAuthoritiesIsReadAsAWholeOrNotAtAll(t *testing.T) {
	a, one := authority(t, "one")
	_, two := authority(t, "two")
	key := block("PRIVATE KEY", []byte("a key"))
	old := block("X509 CERTIFICATE", a.Raw)
	const forClients = "\x30\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\a\x03\x02" // -addtrust clientAuth
	trusted := block("TRUSTED CERTIFICATE", append(bytes.Clone(a.Raw), forClients...))
	for name, tt := range map[string]struct {
		content string
		n       int
		says    string
	}{
		"one":                        {one, 1, ""},
		"two":                        {one + two, 2, ""},
		"text around them":           {"# of 2026\n" + one + "\nand\n" + two, 2, ""},
		"with CRLF":                  {strings.ReplaceAll(one, "\n", "\r\n"), 1, ""},
		"with a byte order mark":     {"\ufeff" + one, 1, ""},
		"a key beside it":            {key + one, 1, ""},
		"not in UTF-8":               {"N\xe9tlock \xff\n" + one, 1, ""}, // rustls/rustls-native-certs#48
		"blanks and empty lines":     {"\n" + strings.ReplaceAll(one, "\n", " \t\n") + "\n \n", 1, ""},
		"under its older name":       {old + two, 2, ""},
		"in OpenSSL's form too":      {one + "Trusted for:\n" + trusted + two, 2, ""}, // NixOS/nixpkgs#286722
		"in OpenSSL's form alone":    {trusted, 0, "openssl x509"},
		"one of two in that form":    {two + trusted, 0, "openssl x509"},
		"joined without a line end":  {strings.TrimSpace(one) + two, 0, "damaged"}, // aberoham/fumitm#13
		"nothing":                    {"", 0, "no certificate in it"},
		"text":                       {"hello", 0, "no certificate in it"},
		"DER":                        {string(a.Raw), 0, "no certificate in it"},
		"a key alone":                {key, 0, "no certificate in it"},
		"one and a half":             {one + two[:len(two)/2], 0, "damaged"},
		"a half and one":             {one[:len(one)/2] + "\n" + two, 0, "damaged"},
		"one that is no certificate": {one + block("CERTIFICATE", []byte("hello")), 0, "certificate 2 of the file"},
	} {
		t.Run(name, func(t *testing.T) {
			certs, err := trustpool.Parse([]byte(tt.content))
			require.Len(t, certs, tt.n)
			if tt.n > 0 {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// TestThePoolIsTheSameUntilAFileChanges: whoever decides something by a pool compares pointers.
func TestThePoolIsTheSameUntilAFileChanges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, one := authority(t, "one")
		b, two := authority(t, "two")
		c, three := authority(t, "three")
		fixed, _ := authority(t, "fixed")
		dir := t.TempDir()
		first, second := filepath.Join(dir, "first.pem"), filepath.Join(dir, "second.pem")
		require.NoError(t, os.WriteFile(first, []byte(one), 0o600))
		require.NoError(t, os.WriteFile(second, []byte(two), 0o600))
		pool, err := trustpool.Open([]string{first, second}, []*x509.Certificate{fixed}, zap.NewNop())
		require.NoError(t, err)
		for _, w := range pool.Watched() {
			go w.Watch(t.Context())
		}
		before := pool.CertPool()
		require.True(t, before.Equal(poolOf(a, b, fixed)))
		time.Sleep(time.Hour)
		require.Same(t, before, pool.CertPool())

		require.NoError(t, os.WriteFile(second, []byte(two+three), 0o600))
		time.Sleep(watch.Latest)
		after := pool.CertPool()
		require.True(t, after.Equal(poolOf(a, b, c, fixed)))
		require.NotSame(t, before, after)
		require.True(t, before.Equal(poolOf(a, b, fixed)), "who still uses the old one sees no change")

		for _, broken := range []string{"", "hello", one[:100], one + two[:100]} {
			require.NoError(t, os.WriteFile(first, []byte(broken), 0o600))
			time.Sleep(watch.Latest)
			require.Same(t, after, pool.CertPool())
		}
		require.NoError(t, os.Remove(first))
		time.Sleep(watch.Latest)
		require.Same(t, after, pool.CertPool())
	})
}

func TestAFileThatCannotBeReadIsAnErrorThatNamesIt(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	_, err := trustpool.Open([]string{missing}, nil, zap.NewNop())
	require.ErrorContains(t, err, missing)
}

func FuzzParse(f *testing.F) {
	_, one := authority(f, "one")
	f.Add([]byte(one))
	f.Add([]byte(one + one[:100]))
	f.Fuzz(func(t *testing.T, content []byte) {
		certs, err := trustpool.Parse(content)
		require.Equal(t, err == nil, len(certs) > 0)
		if err == nil && !bytes.Contains(content, []byte{0}) {
			require.Equal(t, len(certs), bytes.Count(content, []byte("-----BEGIN CERTIFICATE-----"))+
				bytes.Count(content, []byte("-----BEGIN X509 CERTIFICATE-----")))
		}
	})
}
