package kms

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/uri"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// location is a URI of go.step.sm/crypto/kms with its placeholders replaced.
type location struct {
	setting string            // as it is configured: placeholders, no secrets
	text    string            // with the placeholders replaced
	token   *token            // what the PIN opens; nil without a PIN
	pin     [sha256.Size]byte // the hash of the PIN
	secrets []string          // no error may show them
}

// secretAttributes are the attributes of a URI that are secrets: PINs (RFC 7512 section 2.4), a
// YubiKey's management key, an Azure application's secret.
var secretAttributes = []string{"pin-value", "management-key", "client-secret"}

// secretAttribute matches such an attribute: the placeholder that its value begins with, and the rest.
var secretAttribute = regexp.MustCompile(`(?:` + strings.Join(secretAttributes, "|") + `)=({[^{}]*})?([^;&?]*)`)

// cryptoVersion is the version of go.step.sm/crypto in go.mod, for the xcaddy command in an error.
// Without a version xcaddy takes the newest, which may not build with this version of Caddy.
const cryptoVersion = "v0.91.0"

var errUnknownKind = errors.New("it names no known kind of KMS: " +
	"write one such as pkcs11:, awskms:, cloudkms:, azurekms: or yubikey: before the rest")

// checkKind checks that this Caddy was built with support for a kind of KMS.
func checkKind(kind apiv1.Type) error {
	if _, ok := apiv1.LoadKeyManagerNewFunc(kind); !ok {
		return fmt.Errorf("this Caddy is built without %s: "+
			"build it with `xcaddy build … --with go.step.sm/crypto/kms/%s@%s`", kind, kind, cryptoVersion)
	}
	return nil
}

// checkSecrets checks that the secrets in a URI are placeholders, since others can read the
// configuration. Its error does not show the URI.
func checkSecrets(uri string) error {
	for _, found := range secretAttribute.FindAllStringSubmatch(uri, -1) {
		if found[2] != "" {
			return setting.ErrSecretInConfig
		}
		if found[1] != "" {
			if err := setting.CheckSecret(found[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeholder matches a placeholder in a URI, with the = before it if it is the value of an attribute.
var placeholder = regexp.MustCompile(`(=?)({[^{}]*})`)

// resolve replaces the placeholders of a URI. The value of an attribute is escaped, so that a PIN with
// a ";" in it cannot add an attribute. No error shows the URI.
func resolve(text string) (*location, error) {
	var errs []error
	resolved := placeholder.ReplaceAllStringFunc(text, func(placeholder string) string {
		name, isValue := strings.CutPrefix(placeholder, "=")
		value, err := setting.Resolve(name)
		errs = append(errs, err)
		if isValue {
			return "=" + url.QueryEscape(value)
		}
		return value
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	parsed, err := uri.Parse(resolved)
	if err != nil {
		return nil, errors.New("it is no URI once its placeholders are replaced: " +
			"write the kind of KMS, a colon, and name=value pairs with semicolons between them")
	}
	kind, err := apiv1.TypeOf(resolved)
	if err != nil {
		return nil, errUnknownKind
	}
	if err := checkKind(kind); err != nil {
		return nil, err
	}
	pin := parsed.Pin()
	if pin == "" && parsed.Has("pin-source") && !parsed.Has("pin-value") {
		return nil, errors.New("pin-source: the file with the PIN is empty, or cannot be read: make it readable for Caddy")
	}
	u := &location{setting: text, text: resolved, pin: sha256.Sum256([]byte(pin)), secrets: []string{pin}}
	values := uri.Values(parsed)
	if pin != "" {
		u.token = tokenOf(parsed.Scheme, values)
	}
	for _, name := range secretAttributes {
		u.secrets = append(u.secrets, values[name]...)
	}
	return u, nil
}

// clean makes an error without secrets from an error of the KMS, which may show the URI and its secrets.
func (u *location) clean(what string, err error) error {
	text := strings.ReplaceAll(err.Error(), u.text, "the URI")
	for _, secret := range u.secrets {
		if secret == "" {
			continue
		}
		quoted := strconv.Quote(secret)
		for _, form := range []string{url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1], secret} {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return fmt.Errorf("%s: %s: %s", u.setting, what, text)
}
