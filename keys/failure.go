package keys

import "errors"

// Failure is what kind of failure kept keys from being read, made or changed, or from signing: a label of
// the metrics, and a datum of the event key_failed. There are no others than these.
type Failure int

// The failures, and what they are called.
const (
	OtherFailure       Failure = iota // other
	StorageUnreachable                // storage_unreachable: it cannot be listed or read
	StorageNotWritable                // storage_not_writable: or it is full
	LockFailed                        // lock: others hold it for too long, or it cannot be taken
	KeyUnusable                       // key_unusable: a stored key, a file or a secret is damaged, or is no key
	KMSFailed                         // kms: it cannot be opened, or has no such key
	NoAnswer                          // no_answer: the source hangs
	SignatureFailed                   // signature: a key did not sign
)

// Failures are the names of all failures, in the order of the constants.
var Failures = [...]string{
	OtherFailure:       "other",
	StorageUnreachable: "storage_unreachable",
	StorageNotWritable: "storage_not_writable",
	LockFailed:         "lock",
	KeyUnusable:        "key_unusable",
	KMSFailed:          "kms",
	NoAnswer:           "no_answer",
	SignatureFailed:    "signature",
}

func (f Failure) String() string { return Failures[f] }

// Failed is an error of a kind. The text is that of the error.
func Failed(kind Failure, err error) error { return &failedError{err, kind} }

type failedError struct {
	error
	kind Failure
}

func (f *failedError) Unwrap() error { return f.error }

// FailureOf is the kind that [Failed] gave an error, or [OtherFailure].
func FailureOf(err error) Failure {
	if f, ok := errors.AsType[*failedError](err); ok {
		return f.kind
	}
	return OtherFailure
}

// IsFailure reports whether an error has a kind: others are for who asked for what cannot be done.
func IsFailure(err error) bool {
	_, ok := errors.AsType[*failedError](err)
	return ok
}
