package esjwt

import (
	"errors"
	"sync/atomic"
)

// keyFailure is what kind of failure kept keys from being brought up to date, or from signing: a
// label of the metrics, and a datum of the event key_failed. There are no others than these.
type keyFailure int

const (
	otherFailure keyFailure = iota
	storageUnreachable
	storageNotWritable
	lockFailed
	keyUnusable
	kmsFailed
	noAnswer
	signatureFailed
)

// keyFailureNames are the failures as they are shown, in the order of the constants.
var keyFailureNames = [...]string{
	otherFailure:       "other",
	storageUnreachable: "storage_unreachable",  // it cannot be listed or read
	storageNotWritable: "storage_not_writable", // or it is full
	lockFailed:         "lock",                 // others hold it for too long, or it cannot be taken
	keyUnusable:        "key_unusable",         // a stored key, a file or a secret is damaged, or is no key
	kmsFailed:          "kms",                  // it cannot be opened, or has no such key
	noAnswer:           "no_answer",            // the source hangs
	signatureFailed:    "signature",            // a key did not sign
}

func (f keyFailure) String() string { return keyFailureNames[f] }

// failedWith is an error that says what kind of failure it is.
type failedWith struct {
	error
	kind keyFailure
}

func (f *failedWith) Unwrap() error { return f.error }

// failed says what kind of failure an error is.
func failed(kind keyFailure, err error) error { return &failedWith{err, kind} }

// failureOf finds out what kind of failure an error of a source is.
func failureOf(source KeySource, err error) keyFailure {
	if f, ok := errors.AsType[*failedWith](err); ok {
		return f.kind
	}
	if errors.Is(err, errNoAnswer) {
		return noAnswer
	}
	switch source.(type) {
	case *KMSKeys:
		return kmsFailed
	case *FileKeys, *SecretKeys:
		return keyUnusable
	default:
		return otherFailure
	}
}

// keyCounts are what has happened to the keys of a set since it was first used in this process.
type keyCounts struct {
	rotations atomic.Uint64
	failures  [len(keyFailureNames)]atomic.Uint64
}

func (c *keyCounts) failed(kind keyFailure) { c.failures[kind].Add(1) }
