package watch

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// warnEvery is how often the log repeats a warning about trouble that lasts.
const warnEvery = time.Minute

// Trouble logs that a source cannot be read or used: an error at once, a warning each minute as long as it lasts,
// and a line when it is over. What was read before goes on, so nobody would notice otherwise that changes are
// not used.
type Trouble struct {
	logger *zap.Logger
	has    atomic.Bool

	// Only the goroutine that checks the source uses these.
	text          string
	since, logged time.Time
}

// NewTrouble returns the Trouble of a source, under the name that logs call it.
func NewTrouble(name string, logger *zap.Logger) *Trouble {
	return &Trouble{logger: logger.With(zap.String("source", name))}
}

// Has reports whether there is trouble.
func (t *Trouble) Has() bool { return t.has.Load() }

// Note logs the result of a check if that is due. held says that something was read before.
func (t *Trouble) Note(err error, held bool) {
	now := time.Now()
	if err == nil {
		if t.has.Swap(false) {
			t.logger.Info("the source can be read and used again", zap.Duration("after", now.Sub(t.since)))
		}
		return
	}
	goesOn := "what was read before goes on"
	if !held {
		goesOn = "nothing was read before"
	}
	first := !t.has.Swap(true)
	if first {
		t.since = now
	}
	switch {
	case first || err.Error() != t.text:
		t.logger.Error("the source cannot be read or used; "+goesOn, zap.Error(err))
	case now.Sub(t.logged) >= warnEvery:
		t.logger.Warn("the source still cannot be read or used; "+goesOn,
			zap.String("since", t.since.UTC().Format(time.RFC3339)), zap.Error(err))
	default:
		return
	}
	t.text, t.logged = err.Error(), now
}
