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
	setting string // with its placeholders, and so without secrets
	text    string
	token   *kmsToken         // what its PIN is for; nil without one
	pin     [sha256.Size]byte // the hash of its PIN
	secrets []string          // what no error may show
}

// kmsSecrets are the attributes of a URI that are secrets: PINs (RFC 7512 section 2.4), a
// YubiKey's management key, an Azure application's secret.
var kmsSecrets = []string{"pin-value", "management-key", "client-secret"}

// kmsSecretSetting is such an attribute: a placeholder, and what else there is.
var kmsSecretSetting = regexp.MustCompile(`(?:` + strings.Join(kmsSecrets, "|") + `)=({[^{}]*})?([^;&?]*)`)

// kmsVersion is the version of go.step.sm/crypto in go.mod. Without it, xcaddy takes the newest one,
// which need not build with the Caddy that is built.
const kmsVersion = "v0.91.0"

var errKMSKind = errors.New("it names no known kind of KMS: write one such as pkcs11:, awskms:, cloudkms:, azurekms: or yubikey: before the rest")

// checkKMSKind checks that this program has what opens a kind of KMS.
func checkKMSKind(kind apiv1.Type) error {
	if _, ok := apiv1.LoadKeyManagerNewFunc(kind); !ok {
		return fmt.Errorf("this Caddy is built without %s: "+
			"build it with `xcaddy build … --with go.step.sm/crypto/kms/%s@%s`", kind, kind, kmsVersion)
	}
	return nil
}

// checkKMSSecrets checks that the secrets in a URI are placeholders: the URI is part of the
// configuration, which others can read. Its error does not have the URI in it.
func checkKMSSecrets(text string) error {
	for _, found := range kmsSecretSetting.FindAllStringSubmatch(text, -1) {
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

// kmsPlaceholder is a placeholder in a URI, and whether it is the value of an attribute.
var kmsPlaceholder = regexp.MustCompile(`(=?)({[^{}]*})`)

// resolveKMSURI replaces the placeholders of a URI. One that is an attribute's value stays that,
// whatever characters it has. No error has the URI in it.
func resolveKMSURI(text string) (*location, error) {
	var errs []error
	resolved := kmsPlaceholder.ReplaceAllStringFunc(text, func(placeholder string) string {
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
		return nil, errors.New("it is no URI once its placeholders are replaced: write the kind of KMS, a colon, and name=value pairs with semicolons between them")
	}
	kind, err := apiv1.TypeOf(resolved)
	if err != nil {
		return nil, errKMSKind
	}
	if err := checkKMSKind(kind); err != nil {
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
	for _, name := range kmsSecrets {
		u.secrets = append(u.secrets, values[name]...)
	}
	return u, nil
}

// clean makes an error of one that may have the URI or a secret of it in it.
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
