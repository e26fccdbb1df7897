package setting

// Error says what is wrong with one setting. It names the setting, so that [Lines.Wrap] can add its line in the
// Caddyfile.
type Error struct {
	Setting string // such as audience; claim and header are followed by their first value, as in "claim roles"
	err     error
}

func (e *Error) Error() string { return e.Setting + ": " + e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// In returns an error about a setting. Its text begins with the setting's name.
func In(setting string, err error) error { return &Error{setting, err} }
