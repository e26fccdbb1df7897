package identity

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Reason says in one word why a request was refused. It is in the error, the metrics and the log.
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
	NoRole        Reason = "no_role"
	NoKey         Reason = "no_key"
	NoCredential  Reason = "no_credential" //nolint:gosec // it is no secret
	ProxyRefused  Reason = "proxy_refused"
	RefusedAPI    Reason = "credential_api"
	NoPath        Reason = "no_path"
	NotAdmitted   Reason = "not_admitted"
)

// Reasons are all reasons.
var Reasons = []Reason{
	NoCertificate, ReplayedToken, Unverified, Expired, Revoked, NoPrincipal, InvalidName, InvalidGroup,
	NoClaim, TooLarge, Misdirected, NoRole, NoKey, NoCredential, ProxyRefused, RefusedAPI, NoPath, NotAdmitted,
}

// Status returns the HTTP status of a refusal (RFC 9110): 400 if the request has no path, 401 if the client is not
// authenticated, 403 if it is and has no identity here, 421 for the wrong site, 431 for headers that no node would
// read, 502 if no handler has let the request in or the cluster refuses the proxy itself, 503 if it may work a moment
// later.
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
	case NotAdmitted, ProxyRefused:
		return http.StatusBadGateway
	case NoKey, NoCredential:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}

// Refusal is the error of a request that was refused. Its text has the reason, and says what to do. It has nothing in
// it that the client chose, so it can be shown to anybody.
type Refusal struct {
	Reason string // one word, such as no_certificate
	Detail string

	cause  error // what the operator needs to know, and the client must not
	change int64 // when time alone may change it (Unix seconds); zero: never, as far as is known

	passing bool // see [Explanation.Passing]
}

// Refuse makes a Refusal. The text must have nothing in it that a client chose.
func Refuse(r Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: string(r), Detail: fmt.Sprintf(format, args...)}
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Detail }

// Unwrap returns the cause of the refusal, which is not in the error's text.
func (r *Refusal) Unwrap() error { return r.cause }

// From sets the cause of a refusal. Only the operator sees it.
func (r *Refusal) From(err error) *Refusal {
	r.cause = err
	return r
}

// because sets the cause of a refusal to a setting, with an error if there is one. Only the operator sees it.
func (r *Refusal) because(setting string, err error) *Refusal {
	if err == nil {
		return r.From(errors.New(setting))
	}
	return r.From(fmt.Errorf("%s: %w", setting, err))
}

// until sets when a refusal may change by time alone. Of several times the earliest counts.
func (r *Refusal) until(change int64) *Refusal {
	r.change = earlier(r.change, change)
	return r
}

// passes marks a refusal as one that may pass without another certificate.
func (r *Refusal) passes() *Refusal {
	r.passing = true
	return r
}

// maxText is the most bytes of an error's text that can have something in it that a client chose.
const maxText = 500

// textOf returns an error with the same text, cut to maxText, and nothing else. Errors of crypto/x509 point to
// certificates, which a remembered refusal must not keep in memory, and have names of any length that the client
// chose.
func textOf(err error) error {
	text := err.Error()
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return errors.New(text)
}
