package textfile

import (
	"errors"
	"fmt"
)

// maxProblems is how many problems of a file are reported at once.
const maxProblems = 10

// Problems collects what is wrong with the lines of a file, so that whoever
// mends it sees more than the first mistake. Those after the tenth are only
// counted. The zero value has none.
type Problems struct {
	first []error
	more  int
}

// Add adds what is wrong with a line. The first line is number 1.
func (p *Problems) Add(line int, err error) {
	if len(p.first) == maxProblems {
		p.more++
		return
	}
	p.first = append(p.first, fmt.Errorf("line %d: %w", line, err))
}

// Err is all problems as one error, each on a line of its own, or nil if there
// are none.
func (p *Problems) Err() error {
	if p.more == 0 {
		return errors.Join(p.first...)
	}
	return errors.Join(errors.Join(p.first...), fmt.Errorf("and %d more", p.more))
}
