package setting

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// hidden is written in the place of what can be a password or a token.
const hidden = "xxxxx"

// Redacted returns a URL without the parts that can be a password or a token: the query, the fragment and the whole
// user information, because some servers take a token as the user's name.
//
//	https://alice:secret@example.com/list?key=1    becomes
//	https://xxxxx@example.com/list?xxxxx
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

// Quoted returns the value of a setting in quotes, for an error. If it is a URL, it is [Redacted].
func Quoted(value string) string {
	if strings.Contains(value, "://") {
		value = Redacted(value)
	}
	return strconv.Quote(value)
}

// urlInText matches a URL, and a text in quotes with a URL in it. A password can have a blank in it, or a quote, before
// which there is a backslash then.
var urlInText = regexp.MustCompile(`"(?:[^"\\]|\\.)*://(?:[^"\\]|\\.)*"|[A-Za-z][A-Za-z0-9+.-]*://[^\s"]+`)

// WithRedactedURLs returns an error with each URL in its text [Redacted]. It is for errors of other packages, which
// may print a URL of the configuration.
func WithRedactedURLs(err error) error {
	text := urlInText.ReplaceAllStringFunc(err.Error(), func(found string) string {
		if quoted, err := strconv.Unquote(found); err == nil {
			return strconv.Quote(Redacted(quoted))
		}
		return Redacted(found)
	})
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
