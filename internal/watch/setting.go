package watch

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// Setting is what a setting names and was read from a file, a variable or a URL, which can change while
// Caddy runs. What cannot be read or parsed leaves what was there before; that shows in the log and in
// the metrics for as long as it lasts.
type Setting[T any] struct {
	value   *Value[T]
	trouble *Trouble
	setting string
	Name    string
	due     bool // the first look of all is yet to come
}

// Watched is a Setting of any type.
type Watched interface {
	Watch(ctx context.Context)

	// State is which setting it is, and whether what it names can be read and used.
	State() (setting string, usable bool)
}

// NewSetting returns the Setting of a source that is yet to be read.
func NewSetting[T any](setting string, source Source, parse func([]byte) (T, error), logger *zap.Logger) *Setting[T] {
	logger = logger.With(zap.String("setting", setting))
	return &Setting[T]{
		value:   New(source, parse, logger),
		trouble: NewTrouble(source.Name, logger),
		setting: setting,
		Name:    source.Name,
	}
}

// OpenFile reads the file of a setting for the first time.
func OpenFile[T any](setting, name string, parse func([]byte) (T, error), logger *zap.Logger) (*Setting[T], error) {
	w := NewSetting(setting, File(name), parse, logger)
	if err := w.Read(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

// OpenURL reads a URL of a setting. If what it had is known, it is asked in the background. If not, it
// is asked at once, and a failure is logged: a server that is down for a moment must not keep Caddy
// from starting. What was read is for parse to keep.
func OpenURL[T any](setting string, source Source, known bool, parse func([]byte) (T, error), logger *zap.Logger) *Setting[T] {
	w := NewSetting(setting, source, parse, logger)
	w.due = known
	if !known {
		w.trouble.Note(w.Read(), false)
	}
	return w
}

// Read reads the source for the first time.
func (w *Setting[T]) Read() error { return w.value.Read(context.Background()) }

// Get returns what was read last. There must have been something.
func (w *Setting[T]) Get() T { return w.value.Get() }

// Version counts the changes of what it returns: see [Value.Version].
func (w *Setting[T]) Version() uint64 { return w.value.Version() }

// Watch looks for changes until the context ends.
func (w *Setting[T]) Watch(ctx context.Context) {
	if w.due {
		w.looked(w.value.Look(ctx))
	}
	w.value.Run(ctx, w.looked)
}

func (w *Setting[T]) looked(_ bool, err error) {
	w.trouble.Note(err, w.due || w.value.Has())
}

// State implements [Watched].
func (w *Setting[T]) State() (setting string, usable bool) { return w.setting, !w.trouble.Has() }
