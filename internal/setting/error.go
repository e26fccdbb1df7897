package setting

// Error is what is wrong with one setting, so that a Caddyfile's error can have its line.
type Error struct {
	Setting string // its name, and for claim and header the one that it sets
	err     error
}

func (e *Error) Error() string { return e.Setting + ": " + e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// In says which setting an error is about.
func In(setting string, err error) error { return &Error{setting, err} }
