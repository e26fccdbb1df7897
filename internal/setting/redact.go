package setting

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// hidden stands for what can be a password or a token.
const hidden = "xxxxx"

// Redacted is a URL without what can be a password or a token in it: the whole user information, since
// a token may stand for the user's name, the query and the fragment.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a URL that cannot be read"
	}
	if u.User != nil {
		u.User = url.User(hidden)
	}
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	if u.Fragment != "" {
		u.Fragment, u.RawFragment = hidden, ""
	}
	return u.String()
}

// Quoted is a setting as an error shows it. It may be a URL.
func Quoted(setting string) string {
	if strings.Contains(setting, "://") {
		setting = Redacted(setting)
	}
	return strconv.Quote(setting)
}

var urlInText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]+`)

// WithRedactedURLs is an error of code that is not ours, which may have a URL of the configuration in it.
func WithRedactedURLs(err error) error {
	text := urlInText.ReplaceAllStringFunc(err.Error(), Redacted)
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
