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
	// settleStep is how often a changed source is looked at until it rests, settleTime how long it must
	// stay as it is for that, and settleLimit how long it is waited for.
	settleStep  = 100 * time.Millisecond
	settleTime  = time.Second
	settleLimit = 5 * time.Second

	// maxReadings is how many of the last readings of a source that never rests are chosen from, and
	// maxAge how long ago they were seen at most: long enough for a whole one to be among them, and
	// short enough for all of them to be news.
	maxReadings = 8
	maxAge      = settleTime + settleTime/2
)

// reading is what a source had at one time.
type reading struct {
	content []byte
	err     error
	stamp   os.FileInfo   // of the file, before it was read; nil if there is none
	torn    bool          // the file was written meanwhile
	rested  time.Duration // how long it stayed as it was
	seen    time.Time     // when it was there last
}

// read reads the source.
func (s *Source) read(ctx context.Context) reading {
	r := reading{stamp: s.stamp()}
	r.content, r.err = s.Load(ctx)
	r.torn = !sameStamp(r.stamp, s.stamp())
	r.seen = time.Now()
	return r
}

// again reads the source if it may be another one than at the last reading.
func (s *Source) again(ctx context.Context, last reading) reading {
	if last.stamp != nil && !last.torn && sameStamp(last.stamp, s.stamp()) {
		last.seen = time.Now()
		return last
	}
	return s.read(ctx)
}

// same reports whether nothing was written between two readings. The content alone does not tell: who
// comes again and again may find a file emptied each time.
func (r reading) same(other reading) bool {
	if r.err != nil || other.err != nil {
		return r.err != nil && other.err != nil
	}
	return !r.torn && !other.torn && sameStamp(r.stamp, other.stamp) && bytes.Equal(r.content, other.content)
}

// stamp is what the directory says of the source's file, behind links.
func (s *Source) stamp() os.FileInfo {
	if s.Path == "" {
		return nil
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return nil
	}
	return info
}

// sameStamp reports whether a file is the same one, and was not written in between, as far as can be
// told.
func sameStamp(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// settle waits until the source rests, and returns what it has then. If it never does, the last
// readings are returned, those first that are most likely to be whole.
func (s *Source) settle(ctx context.Context, last reading) (readings []reading, rests bool) {
	began := time.Now()
	since := began
	for now := began; now.Sub(began) < settleLimit; now = time.Now() {
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(settleStep):
		}
		rested := time.Since(since)
		next := s.again(ctx, last)
		if rested >= settleTime { // the clock of a file is too coarse to be sure
			next = s.read(ctx)
		}
		if !next.same(last) {
			if len(readings) == maxReadings {
				readings = slices.Delete(readings, 0, 1)
			}
			readings = append(readings, last)
			last, since = next, time.Now()
			continue
		}
		next.rested = rested
		last = next
		if rested >= settleTime {
			return []reading{last}, true
		}
	}
	return likely(append(readings, last)), false
}

// likely orders the last readings of a source that never rests. A writer that writes in place leaves
// nothing at first, then a part, then the whole, which stays until the next time. What is replaced in
// one step is whole at any time.
func likely(readings []reading) []reading {
	now := time.Now()
	readings = slices.DeleteFunc(readings, func(r reading) bool {
		return now.Sub(r.seen) > maxAge || r.err == nil && len(r.content) == 0
	})
	slices.Reverse(readings) // the youngest first
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
		return cmp.Or(cmp.Compare(doubt(a), doubt(b)), cmp.Compare(b.rested, a.rested))
	})
	return readings
}
