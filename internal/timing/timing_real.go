//go:build !esjwt_fast

package timing

// TimeScale and RotationScale are how many times faster time passes in a build for tests.
const (
	TimeScale     = 1
	RotationScale = 1
)
