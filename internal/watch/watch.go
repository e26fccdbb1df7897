// Package watch reads what can change while a program runs: files, variables
// and URLs.
//
// A changed file is believed once it rests, since somebody may be writing it:
// half a list of those who are denied denies half of them. One that never rests
// is believed all the same, within [Latest] of a change, for a list that is
// never believed denies nobody. What cannot be read or parsed leaves in place
// what was there before.
package watch

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// fileInterval is how often a file is looked at for changes, urlInterval how often a URL is asked
	// again.
	fileInterval = 3 * time.Second
	urlInterval  = time.Minute

	// Latest is when a change of a file that can be read and parsed counts at the latest: the time
	// until it is looked at, the time that it has to rest, and that of a version which came meanwhile.
	Latest = 12 * time.Second
)

// Source is what is watched.
type Source struct {
	// Name is what the source is called in logs. It has no secrets in it.
	Name string

	// Load reads it. Its errors have no secrets in them.
	Load func(context.Context) ([]byte, error)

	// Path is the file that Load reads; "" if it reads something else. What the file's directory
	// entry says spares reading it again, and tells when it was written while it was read.
	Path string

	// Interval is how long to wait between two looks.
	Interval time.Duration

	// Settles is whether a change must rest before it is believed. What comes over HTTP is whole.
	Settles bool
}

// Value is what was read from a source, parsed.
type Value[T any] struct {
	source Source
	parse  func([]byte) (T, error)
	logger *zap.Logger

	value   atomic.Pointer[T]
	version atomic.Uint64         // raised after each change of the value
	problem atomic.Pointer[error] // of the last look; nil if all is well

	// For the goroutine that looks.
	content  []byte    // what the value was made of; nil before there is one
	refused  []byte    // what could not be parsed, if that came after it
	refusal  error     // why not
	restless time.Time // when it was last said that the source does not rest
}

// New returns a value that is yet to be read. The logger is told of changes, not of failures, which
// are returned.
func New[T any](source Source, parse func([]byte) (T, error), logger *zap.Logger) *Value[T] {
	return &Value[T]{source: source, parse: parse, logger: logger.With(zap.String("source", source.Name))}
}

// Read reads the source for the first time, and believes what it reads.
func (v *Value[T]) Read(ctx context.Context) error {
	content, err := v.source.Load(ctx)
	if err == nil {
		err = v.accept(content)
	}
	v.note(err)
	return err
}

// Get returns what was read last. There must have been something.
func (v *Value[T]) Get() T { return *v.value.Load() }

// Version counts the changes. It is raised after the value has changed, so who reads the version
// first, and then the value, notices a change in between:
//
//	before := v.Version()  // 1
//	decide(v.Get())        // may be the first value, or already the second
//	v.Version() == before  // false when there is a second one: decide again
func (v *Value[T]) Version() uint64 { return v.version.Load() }

// Has reports whether there was something.
func (v *Value[T]) Has() bool { return v.value.Load() != nil }

// Err returns why the last look failed, and what was read before goes on; nil if it did not.
func (v *Value[T]) Err() error {
	if problem := v.problem.Load(); problem != nil {
		return *problem
	}
	return nil
}

// Run looks at the source until the context ends, at first when an interval is over, and says how
// each look went.
func (v *Value[T]) Run(ctx context.Context, looked func(changed bool, err error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(v.source.Interval):
		}
		changed, err := v.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		looked(changed, err)
	}
}

// Notice looks at the source until the context ends, and calls noticed when it has changed, when it cannot be
// read or parsed, and when it can be again.
func (v *Value[T]) Notice(ctx context.Context, noticed func()) {
	failing := false
	v.Run(ctx, func(changed bool, err error) {
		if changed || failing != (err != nil) {
			noticed()
		}
		failing = err != nil
	})
}

// Look reads the source and reports whether it has changed, or why it cannot be believed.
func (v *Value[T]) Look(ctx context.Context) (changed bool, err error) {
	changed, err = v.look(ctx)
	if ctx.Err() == nil {
		v.note(err)
	}
	return changed, err
}

func (v *Value[T]) look(ctx context.Context) (changed bool, err error) {
	first := v.source.read(ctx)
	switch {
	case first.err != nil && v.Err() != nil:
		return false, first.err // as before: there is nothing that could settle
	case first.err != nil:
	case v.isKnown(first.content):
		return false, nil
	case v.refused != nil && bytes.Equal(first.content, v.refused):
		return false, v.refusal
	}
	readings, rests := []reading{first}, true
	if v.source.Settles {
		readings, rests = v.source.settle(ctx, first)
	}
	for _, r := range readings {
		if err = r.err; err != nil {
			continue
		}
		if v.isKnown(r.content) {
			return false, nil
		}
		if err = v.accept(r.content); err == nil {
			v.tell(rests)
			return true, nil
		}
	}
	return false, err
}

func (v *Value[T]) isKnown(content []byte) bool {
	return v.content != nil && bytes.Equal(content, v.content)
}

// accept parses what was read, and believes it if that can be done.
func (v *Value[T]) accept(content []byte) error {
	value, err := v.parse(content)
	if err != nil {
		v.refused, v.refusal = content, err
		return err
	}
	v.value.Store(&value)
	v.version.Add(1)
	v.content, v.refused, v.refusal = content, nil, nil
	return nil
}

func (v *Value[T]) note(err error) {
	if err == nil {
		v.problem.Store(nil)
		return
	}
	v.problem.Store(&err)
}

// tell logs a change. One of a source that never rests is a warning, now and then.
func (v *Value[T]) tell(rests bool) {
	v.logger.Info("what has changed was read")
	if now := time.Now(); !rests && now.Sub(v.restless) >= tellEvery {
		v.restless = now
		v.logger.Warn("it is written again and again and never rests, so that it was read as it stood, " +
			"and a half-written one may have been believed: write it less often, to another file that is then renamed to this one")
	}
}
