package crl

// SignersKnown is for how many of the lists it is known whose key signed them.
func (l *Lists) SignersKnown() int {
	known := 0
	for _, list := range l.all {
		if len(list.signers.good()) > 0 {
			known++
		}
	}
	return known
}
