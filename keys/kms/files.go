package kms

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// kmsFile is a file with a secret that a KMS URI names: an attribute of RFC 7512 or of
// go.step.sm/crypto/kms, or a placeholder.
var kmsFile = regexp.MustCompile(`\b(?:pin-source|credentials-file|path)=([^;&?]*)|{file\.([^{}]*)}`)

// kmsFiles are the files with secrets that a KMS URI names. What cannot be read is for whoever opens
// the URI to say.
func kmsFiles(text string) []string {
	var files []string
	for _, found := range kmsFile.FindAllStringSubmatch(text, -1) {
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
