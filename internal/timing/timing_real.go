//go:build !esjwt_fast

package timing

const (
	TimeScale     = 1
	RotationScale = 1
)
