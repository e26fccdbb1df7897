package hanging

import (
	"fmt"
	"time"
)

// Answer is what a call returned.
type Answer[T any] struct {
	Value T
	Err   error
}

// Go makes a call in a goroutine of its own, and returns the channel that its answer is sent to. If the call panics,
// the answer is an error that names the callee. Nobody has to receive the answer.
func Go[T any](callee string, call func() (T, error)) <-chan Answer[T] {
	answers := make(chan Answer[T], 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				answers <- Answer[T]{Err: fmt.Errorf("%s panicked: %v", callee, r)}
			}
		}()
		value, err := call()
		answers <- Answer[T]{value, err}
	}()
	return answers
}

// Within reports whether a call returns within a time. If it does not, it is left behind.
func Within(limit time.Duration, call func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
