package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// promotion is a rotation by hand, as the next key says it: the turn of another key begins early. That one
// has to have a successor anyway, so that one object says all.
type promotion struct {
	Promotes     string    `json:"promotes,omitempty"` // a kid; "" if the key promotes none
	PromotesFrom time.Time `json:"promotes_from,omitzero"`
}

// check checks what was read. knows are the kids of the keys that were known.
func (p *promotion) check(knows []string) error {
	switch {
	case (p.Promotes == "") != p.PromotesFrom.IsZero():
		return errors.New("it promotes a key at no time, or none at some time")
	case p.Promotes != "" && !slices.Contains(knows, p.Promotes):
		return fmt.Errorf("it promotes %q, which is no key that it knows", p.Promotes)
	default:
		return nil
	}
}
