package kms

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// secretFile matches where the URI of a key names a file with a secret: in an attribute of RFC 7512 or
// of go.step.sm/crypto/kms, or in a placeholder. For example, both files of
//
//	pkcs11:token=es?pin-source=/run/secrets/pin
//	pkcs11:token=es?pin-value={file./run/secrets/pin}
var secretFile = regexp.MustCompile(`\b(?:pin-source|credentials-file|path)=([^;&?]*)|{file\.([^{}]*)}`)

// secretFiles returns the files with secrets that the URI of a key names. It passes over what cannot be
// resolved: the error comes when the URI is opened.
func secretFiles(uri string) []string {
	var files []string
	for _, found := range secretFile.FindAllStringSubmatch(uri, -1) {
		if found[2] != "" {
			files = append(files, found[2])
			continue
		}
		value, err := url.QueryUnescape(found[1])
		if err != nil {
			continue
		}
		if name, err := setting.Resolve(value); err == nil {
			name, _ = strings.CutPrefix(name, "file://") // RFC 7512 section 2.3
			name, _ = strings.CutPrefix(name, "file:")
			files = append(files, name)
		}
	}
	return files
}
