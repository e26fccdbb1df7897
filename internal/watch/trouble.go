package watch

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// tellEvery is how often trouble that lasts is told again.
const tellEvery = time.Minute

// Trouble makes a source that fails as visible as an outage: what was read before goes on, and nobody
// would notice that nothing new counts. It logs an error at once, a warning each minute while it lasts,
// and when it is over.
type Trouble struct {
	logger *zap.Logger
	has    atomic.Bool

	// For the goroutine that looks.
	text        string
	since, told time.Time
}

// NewTrouble returns what tells of the trouble with the source of a name.
func NewTrouble(name string, logger *zap.Logger) *Trouble {
	return &Trouble{logger: logger.With(zap.String("source", name))}
}

// Has reports whether there is trouble.
func (t *Trouble) Has() bool { return t.has.Load() }

// Note takes how a look went. held is whether there is something that was read before.
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
	case now.Sub(t.told) >= tellEvery:
		t.logger.Warn("the source still cannot be read or used; "+goesOn,
			zap.String("since", t.since.UTC().Format(time.RFC3339)), zap.Error(err))
	default:
		return
	}
	t.text, t.told = err.Error(), now
}
