package identity

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Reason says in one word why a request was refused: in the error, the metrics and the log.
type Reason string

// The reasons. docs/security.md says what to do about each.
const (
	NoCertificate Reason = "no_certificate"
	ReplayedToken Reason = "replayed_token"
	Unverified    Reason = "unverified"
	Expired       Reason = "expired"
	Revoked       Reason = "revoked"
	NoPrincipal   Reason = "no_principal"
	InvalidName   Reason = "invalid_name"
	InvalidGroup  Reason = "invalid_group"
	NoClaim       Reason = "no_claim"
	TooLarge      Reason = "too_large"
	Misdirected   Reason = "misdirected"
	NoKey         Reason = "no_key"
	RefusedAPI    Reason = "credential_api"
	NoPath        Reason = "no_path"
)

// Reasons are all of them.
var Reasons = []Reason{
	NoCertificate, ReplayedToken, Unverified, Expired, Revoked, NoPrincipal, InvalidName, InvalidGroup,
	NoClaim, TooLarge, Misdirected, NoKey, RefusedAPI, NoPath,
}

// Status is the HTTP status of a refusal (RFC 9110): 400 for what is for no path, 401 for who is not
// authenticated, 403 for who is and has no identity here, 421 for the wrong site, 431 for headers
// that no node would read, 503 for what will pass.
func (r Reason) Status() int {
	switch r {
	case NoCertificate, ReplayedToken, Unverified, Expired:
		return http.StatusUnauthorized
	case NoPath:
		return http.StatusBadRequest
	case TooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case Misdirected:
		return http.StatusMisdirectedRequest
	case NoKey:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}

// Refusal is the error of a request that was not let through. Its text names the reason and
// what to do; it never has anything in it that the client chose, so that it can be shown.
type Refusal struct {
	Reason string // one word, such as no_certificate
	Detail string

	cause  error // what the operator needs to know, and the client must not
	change int64 // when time alone may change it (Unix seconds); zero: never, as far as is known
}

// Refuse makes a Refusal. The text must have nothing in it that a client chose.
func Refuse(r Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: string(r), Detail: fmt.Sprintf(format, args...)}
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Detail }

// Unwrap returns what is behind the refusal. It is not in the error's text.
func (r *Refusal) Unwrap() error { return r.cause }

// From keeps the error behind a refusal, for the operator alone.
func (r *Refusal) From(err error) *Refusal {
	r.cause = err
	return r
}

// because keeps the setting behind a refusal and, if there is one, the error, for the operator alone.
func (r *Refusal) because(setting string, err error) *Refusal {
	if err == nil {
		return r.From(errors.New(setting))
	}
	return r.From(fmt.Errorf("%s: %w", setting, err))
}

// until says when time alone may change a refusal.
func (r *Refusal) until(change int64) *Refusal {
	r.change = earlier(r.change, change)
	return r
}

// maxText bounds the text of an error that has something in it that a client chose.
const maxText = 500

// textOf is an error without what it refers to. Those of crypto/x509 have certificates in them, which
// a refusal that is remembered must not keep, and names of any length that the client chose.
func textOf(err error) error {
	text := err.Error()
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return errors.New(text)
}
