package textfile

import (
	"errors"
	"fmt"
)

// maxProblems is how many problems of a file are reported at once.
const maxProblems = 10

// Problems collects the errors in the lines of a file, so that its writer can mend
// several at once. It keeps the first ten errors and counts the others. The zero
// value has no errors.
type Problems struct {
	first []error
	more  int
}

// Add adds the error of a line. The first line is number 1.
func (p *Problems) Add(line int, err error) {
	if len(p.first) == maxProblems {
		p.more++
		return
	}
	p.first = append(p.first, fmt.Errorf("line %d: %w", line, err))
}

// Err returns the collected errors as one error, with a line for each, or nil if
// there are none.
func (p *Problems) Err() error {
	if p.more == 0 {
		return errors.Join(p.first...)
	}
	return errors.Join(errors.Join(p.first...), fmt.Errorf("and %d more", p.more))
}
