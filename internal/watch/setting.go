package watch

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// Setting is the content of the file, the variable or the URL that a setting of the configuration names. It can
// change while Caddy runs. If it cannot be read or parsed, what was read before goes on, and the log and the
// metrics say so as long as that lasts.
type Setting[T any] struct {
	value   *Value[T]
	trouble *Trouble
	setting string
	Name    string
	due     bool // the source is yet to be read for the first time
}

// Watched is a [Setting] of any type.
type Watched interface {
	// Watch checks the source for changes until the context ends.
	Watch(ctx context.Context)

	// State returns the name of the setting, and whether its source can be read and used.
	State() (setting string, usable bool)
}

// NewSetting returns the Setting of a source. It has nothing until it is read.
func NewSetting[T any](setting string, source Source, parse func([]byte) (T, error), logger *zap.Logger) *Setting[T] {
	logger = logger.With(zap.String("setting", setting))
	return &Setting[T]{
		value:   New(source, parse, logger),
		trouble: NewTrouble(source.Name, logger),
		setting: setting,
		Name:    source.Name,
	}
}

// OpenFile returns the Setting of a file, and reads it for the first time.
func OpenFile[T any](setting, name string, parse func([]byte) (T, error), logger *zap.Logger) (*Setting[T], error) {
	w := NewSetting(setting, File(name), parse, logger)
	if err := w.Read(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

// OpenURL returns the Setting of a URL. If its content is known from before, it is fetched in the background. If
// not, it is fetched at once, and a failure is only logged: a server that is down for a moment must not keep Caddy
// from starting. It is for parse to keep what was fetched, beyond the end of the configuration.
func OpenURL[T any](
	setting string, source Source, known bool, parse func([]byte) (T, error), logger *zap.Logger,
) *Setting[T] {
	w := NewSetting(setting, source, parse, logger)
	w.due = known
	if !known {
		w.trouble.Note(w.Read(), false)
	}
	return w
}

// Read reads the source for the first time.
func (w *Setting[T]) Read() error { return w.value.Read(context.Background()) }

// Get returns what was read last. It panics if nothing was read yet.
func (w *Setting[T]) Get() T { return w.value.Get() }

// Version counts the changes of what [Setting.Get] returns: see [Value.Version].
func (w *Setting[T]) Version() uint64 { return w.value.Version() }

// Watch implements [Watched].
func (w *Setting[T]) Watch(ctx context.Context) {
	if w.due {
		w.checked(w.value.Check(ctx))
	}
	w.value.Run(ctx, w.checked)
}

func (w *Setting[T]) checked(_ bool, err error) {
	w.trouble.Note(err, w.due || w.value.Has())
}

// State implements [Watched].
func (w *Setting[T]) State() (setting string, usable bool) { return w.setting, !w.trouble.Has() }
