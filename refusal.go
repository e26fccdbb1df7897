package esjwt

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// reason says in one word why a request was refused: in the error, the metrics and the log.
type reason string

const (
	noCertificate reason = "no_certificate"
	replayedToken reason = "replayed_token"
	unverified    reason = "unverified"
	expired       reason = "expired"
	revoked       reason = "revoked"
	noPrincipal   reason = "no_principal"
	invalidName   reason = "invalid_name"
	invalidGroup  reason = "invalid_group"
	noClaim       reason = "no_claim"
	tooLarge      reason = "too_large"
	misdirected   reason = "misdirected"
	noKey         reason = "no_key"
	refusedAPI    reason = "credential_api"
	noPath        reason = "no_path"
)

// reasons are all of them. docs/security.md says what to do about each.
var reasons = []reason{
	noCertificate, replayedToken, unverified, expired, revoked, noPrincipal, invalidName, invalidGroup, noClaim, tooLarge, misdirected, noKey,
	refusedAPI, noPath,
}

// status is the HTTP status of a refusal (RFC 9110): 400 for what is for no path, 401 for who is not
// authenticated, 403 for who is and has no identity here, 421 for the wrong site, 431 for headers
// that no node would read, 503 for what will pass.
func (r reason) status() int {
	switch r {
	case noCertificate, replayedToken, unverified, expired:
		return http.StatusUnauthorized
	case noPath:
		return http.StatusBadRequest
	case tooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case misdirected:
		return http.StatusMisdirectedRequest
	case noKey:
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

	cause  error     // what the operator needs to know, and the client must not
	change time.Time // when time alone may change it; zero: never, as far as is known
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Detail }

// Unwrap returns what is behind the refusal. It is not in the error's text.
func (r *Refusal) Unwrap() error { return r.cause }

// because names the setting behind a refusal and, if there is one, the error, for the operator alone.
func (r *Refusal) because(setting string, err error) *Refusal {
	if err == nil {
		return r.from(errors.New(setting))
	}
	return r.from(fmt.Errorf("%s: %w", setting, err))
}

// from keeps the error behind a refusal, for the operator alone.
func (r *Refusal) from(err error) *Refusal {
	r.cause = err
	return r
}

// until says when time alone may change a refusal.
func (r *Refusal) until(change time.Time) *Refusal {
	r.change = earlier(r.change, change)
	return r
}

func refuseCredentialAPI() *Refusal {
	return refuse(refusedAPI, "this request could make a credential that outlives the client's certificate, "+
		"and such requests do not go on from here: use the certificate itself, or ask the operator for a credential")
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

// refuse makes a Refusal.
func refuse(r reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: string(r), Detail: fmt.Sprintf(format, args...)}
}
