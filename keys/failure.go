package keys

import "errors"

// Failure is the kind of an error: what kept keys from being read, made, changed or used. It is a label
// of the metrics and a field of the event key_failed.
type Failure int

// The kinds of failures. There are no others.
const (
	OtherFailure       Failure = iota // none of the others
	StorageUnreachable                // the storage cannot be listed or read
	StorageNotWritable                // the storage cannot be written to, or is full
	LockFailed                        // another process holds the lock for too long, or it cannot be taken
	KeyUnusable                       // a stored key, a file or a secret is damaged, or is no key
	KMSFailed                         // the KMS cannot be opened, or has no such key
	NoAnswer                          // the source does not answer
	SignatureFailed                   // a key did not sign

	FailureKinds = iota // how many kinds there are
)

// failures are the names of the kinds, as metrics and events show them.
var failures = [FailureKinds]string{
	OtherFailure:       "other",
	StorageUnreachable: "storage_unreachable",
	StorageNotWritable: "storage_not_writable",
	LockFailed:         "lock",
	KeyUnusable:        "key_unusable",
	KMSFailed:          "kms",
	NoAnswer:           "no_answer",
	SignatureFailed:    "signature",
}

func (f Failure) String() string { return failures[f.known()] }

// known returns the failure, or [OtherFailure] for a number that is none.
func (f Failure) known() Failure {
	if f < 0 || f >= FailureKinds {
		return OtherFailure
	}
	return f
}

// Failed gives an error a kind. Its text stays as it is.
func Failed(kind Failure, err error) error { return &failedError{err, kind.known()} }

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

// IsFailure reports whether [Failed] gave an error a kind. An error without one means that nothing failed:
// somebody asked for something that cannot be done.
func IsFailure(err error) bool {
	_, ok := errors.AsType[*failedError](err)
	return ok
}
