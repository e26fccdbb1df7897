// Package watch reads what can change while a program runs: files, variables
// and URLs.
//
// A changed file is used once it has settled, which means that nobody has written
// to it for a second: half a deny list would deny half of the clients. A file that
// never settles is used all the same, within [Latest] of a change: a deny list
// that is never used would deny nobody. If a file cannot be read or parsed, what
// was read before goes on.
package watch

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// fileInterval is how often a file is checked for changes, and urlInterval how often a URL is fetched.
	fileInterval = 3 * time.Second
	urlInterval  = time.Minute

	// Latest is how long it takes at most until a changed file is used, if it can be read and parsed: the
	// time until the next check, the time to settle, and the time that a change in between costs.
	Latest = 12 * time.Second
)

// Source is what is watched.
type Source struct {
	// Name is what logs call the source. It must have no secret in it.
	Name string

	// Load reads the source. Its errors must have no secret in them.
	Load func(context.Context) ([]byte, error)

	// Path is the file that Load reads; "" if it reads something else. The file's size and time of change
	// tell whether it must be read again, and whether somebody wrote to it while it was read.
	Path string

	// Interval is how long to wait between two checks.
	Interval time.Duration

	// Settles says that a change is used only once the source has settled. A file that was fetched by HTTP
	// is complete, and need not settle.
	Settles bool
}

// Value is the parsed content of a source.
type Value[T any] struct {
	source Source
	parse  func([]byte) (T, error)
	logger *zap.Logger

	value   atomic.Pointer[T]
	version atomic.Uint64         // raised after each change of the value
	problem atomic.Pointer[error] // of the last check; nil if all is well

	// Only the goroutine that checks the source uses these.
	content  []byte    // what the value was parsed from; nil if there is no value yet
	broken   []byte    // newer content, which could not be parsed; nil if there is none
	parseErr error     // why broken could not be parsed
	warned   time.Time // when the log last said that the source never settles
}

// New returns the value of a source. It has nothing until [Value.Read] or [Value.Check] has succeeded. The logger
// logs changes. Failures are returned instead.
func New[T any](source Source, parse func([]byte) (T, error), logger *zap.Logger) *Value[T] {
	return &Value[T]{source: source, parse: parse, logger: logger.With(zap.String("source", source.Name))}
}

// Read reads the source for the first time. It does not wait for the source to settle.
func (v *Value[T]) Read(ctx context.Context) error {
	content, err := v.source.Load(ctx)
	if err == nil {
		err = v.accept(content)
	}
	v.setProblem(err)
	return err
}

// Get returns what was read last. It panics if there is nothing: see [Value.Has].
func (v *Value[T]) Get() T { return *v.value.Load() }

// Version counts the changes. It is raised after the value has changed. So whoever reads the version first, and
// then the value, notices a change in between:
//
//	before := v.Version()  // 1
//	decide(v.Get())        // may be the first value, or already the second
//	v.Version() == before  // false if there is a second one: decide again
func (v *Value[T]) Version() uint64 { return v.version.Load() }

// Has reports whether something was read.
func (v *Value[T]) Has() bool { return v.value.Load() != nil }

// Err returns why the last check failed; nil if it succeeded. After a failure the value is still the one before.
func (v *Value[T]) Err() error {
	if problem := v.problem.Load(); problem != nil {
		return *problem
	}
	return nil
}

// Run checks the source after each interval until the context ends, and calls checked with the result.
func (v *Value[T]) Run(ctx context.Context, checked func(changed bool, err error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(v.source.Interval):
		}
		changed, err := v.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		checked(changed, err)
	}
}

// Notice checks the source after each interval until the context ends. It calls noticed when the source has
// changed, when it cannot be read or parsed, and when it can be again.
func (v *Value[T]) Notice(ctx context.Context, noticed func()) {
	failing := false
	v.Run(ctx, func(changed bool, err error) {
		if changed || failing != (err != nil) {
			noticed()
		}
		failing = err != nil
	})
}

// Check reads the source, and reports whether the value has changed. It returns an error if the source cannot be
// read or parsed.
func (v *Value[T]) Check(ctx context.Context) (changed bool, err error) {
	changed, err = v.check(ctx)
	if ctx.Err() == nil {
		v.setProblem(err)
	}
	return changed, err
}

func (v *Value[T]) check(ctx context.Context) (changed bool, err error) {
	first := v.source.read(ctx)
	switch {
	case first.err != nil && v.Err() != nil:
		return false, first.err // it failed before, too: do not wait for it to settle
	case first.err != nil:
	case v.isUnchanged(first.content):
		return false, nil
	case v.broken != nil && bytes.Equal(first.content, v.broken):
		return false, v.parseErr
	}
	readings, settled := []reading{first}, true
	if v.source.Settles {
		readings, settled = v.source.settle(ctx, first)
	}
	for _, r := range readings {
		if err = r.err; err != nil {
			continue
		}
		if v.isUnchanged(r.content) {
			return false, nil
		}
		if err = v.accept(r.content); err == nil {
			v.logChange(settled)
			return true, nil
		}
	}
	return false, err
}

func (v *Value[T]) isUnchanged(content []byte) bool {
	return v.content != nil && bytes.Equal(content, v.content)
}

// accept parses what was read. If that succeeds, it becomes the value.
func (v *Value[T]) accept(content []byte) error {
	value, err := v.parse(content)
	if err != nil {
		v.broken, v.parseErr = content, err
		return err
	}
	v.value.Store(&value)
	v.version.Add(1)
	v.content, v.broken, v.parseErr = content, nil, nil
	return nil
}

func (v *Value[T]) setProblem(err error) {
	if err == nil {
		v.problem.Store(nil)
		return
	}
	v.problem.Store(&err)
}

// logChange logs that the value has changed. If the source never settles, it also logs a warning now and then.
func (v *Value[T]) logChange(settled bool) {
	v.logger.Info("the source has changed and was read again")
	if now := time.Now(); !settled && now.Sub(v.warned) >= warnEvery {
		v.warned = now
		v.logger.Warn("it changes all the time, so it was read as it is now, " +
			"and a half-written one may have been believed: " +
			"write it less often, to another file that is then renamed to this one")
	}
}
