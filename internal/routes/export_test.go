package routes

import "errors"

// Knows returns an error if it is not known that requests reach the proxy which a door has let in, with a header that
// has been changed since or not. The door is nil if none has.
func (p *Proxy) Knows(door any, changed bool) error {
	if door == nil {
		if p.open || p.openToErrors {
			return nil
		}
		return errors.New("a request arrived that no door had let in")
	}
	for h, changes := range p.behind {
		if h.Module == door {
			if changed && len(changes) == 0 {
				return errors.New("a request arrived whose header was not the door's")
			}
			return nil
		}
	}
	return errors.New("a request arrived by a door that was not expected")
}
