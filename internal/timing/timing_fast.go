//go:build esjwt_fast

package timing

// A minute becomes a second. This is only for the integration suite. The tokens are as safe as ever, but they live
// shorter than the clock skew that Elasticsearch allows.
const (
	TimeScale     = 60
	RotationScale = 240
)
