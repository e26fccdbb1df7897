package watch

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"slices"
	"time"
)

const (
	// A changed source is read every settleStep. It has settled when it stays the same for settleTime. After
	// settleLimit nobody waits for it any longer.
	//
	// The step is a prime, so that it does not keep step with a writer. With 100 ms, and a job that writes a file
	// in place every 50 ms, each reading could come while the file is emptied.
	settleStep  = 97 * time.Millisecond
	settleTime  = time.Second
	settleLimit = 5 * time.Second

	// If a source never settles, one of its last readings is used: of at most maxReadings, none of them older
	// than maxAge. That is long enough for a complete one to be among them, and short enough for all of them
	// to be newer than the change.
	maxReadings = 8
	maxAge      = settleTime + settleTime/2
)

// reading is what a source contained at one time.
type reading struct {
	content  []byte
	err      error
	stat     os.FileInfo   // of the file, before it was read; nil if there is none
	torn     bool          // somebody wrote to the file while it was read
	lasted   time.Duration // how long the source stayed the same
	lastSeen time.Time     // when the source last had this content
}

// read reads the source.
func (s *Source) read(ctx context.Context) reading {
	r := reading{stat: s.stat()}
	r.content, r.err = s.Load(ctx)
	r.torn = !unwritten(r.stat, s.stat())
	r.lastSeen = time.Now()
	return r
}

// reread reads the source again if it may have changed since the last reading.
func (s *Source) reread(ctx context.Context, last reading) reading {
	if last.stat != nil && !last.torn && unwritten(last.stat, s.stat()) {
		last.lastSeen = time.Now()
		return last
	}
	return s.read(ctx)
}

// same reports whether nobody wrote to the source between two readings. The content alone cannot tell that:
//
//	a writer empties the file, writes it, and does so again and again
//	each reading finds it empty, because each happens to come just after it was emptied
func (r reading) same(other reading) bool {
	if r.err != nil || other.err != nil {
		return r.err != nil && other.err != nil
	}
	return !r.torn && !other.torn && unwritten(r.stat, other.stat) && bytes.Equal(r.content, other.content)
}

// stat returns the state of the source's file; nil if there is no file. It follows links.
func (s *Source) stat() os.FileInfo {
	if s.Path == "" {
		return nil
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return nil
	}
	return info
}

// unwritten reports whether nobody wrote to a file between two states of it, as far as they tell.
func unwritten(before, after os.FileInfo) bool {
	if before == nil || after == nil {
		return before == nil && after == nil
	}
	return os.SameFile(before, after) && before.Size() == after.Size() && before.ModTime().Equal(after.ModTime())
}

// settle waits until the source has settled, and returns its reading. If the source never settles, settle returns
// the last readings, and first those that are most likely to be complete.
func (s *Source) settle(ctx context.Context, last reading) (readings []reading, settled bool) {
	began := time.Now()
	changed := began
	for now := began; now.Sub(began) < settleLimit; now = time.Now() {
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(settleStep):
		}
		lasted := time.Since(changed)
		next := s.reread(ctx, last)
		if lasted >= settleTime {
			next = s.read(ctx) // in any case: the time of a file is too coarse to tell every change
		}
		if !next.same(last) {
			if len(readings) == maxReadings {
				readings = slices.Delete(readings, 0, 1)
			}
			readings = append(readings, last)
			last, changed = next, time.Now()
			continue
		}
		next.lasted = lasted
		last = next
		if lasted >= settleTime {
			return []reading{last}, true
		}
	}
	return likelyComplete(append(readings, last)), false
}

// likelyComplete sorts the last readings of a source that never settles: those first that are most likely to be
// complete. A file that is renamed into place is always complete. One that is written in place is not:
//
//	emptied        for a moment
//	half written   for a moment
//	complete       until it is written the next time, which is longer
func likelyComplete(readings []reading) []reading {
	now := time.Now()
	readings = slices.DeleteFunc(readings, func(r reading) bool {
		return now.Sub(r.lastSeen) > maxAge || r.err == nil && len(r.content) == 0
	})
	slices.Reverse(readings) // the newest first
	if len(readings) == 0 {
		return []reading{{err: errEmptied}}
	}
	doubt := func(r reading) int {
		switch {
		case r.err != nil:
			return 2
		case r.torn:
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(readings, func(a, b reading) int {
		return cmp.Or(cmp.Compare(doubt(a), doubt(b)), cmp.Compare(b.lasted, a.lasted))
	})
	return readings
}
