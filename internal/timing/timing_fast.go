//go:build esjwt_fast

package timing

// A minute is a second: only for the integration suite. Tokens are as safe as ever, but live
// shorter than Elasticsearch's clock skew.
const (
	TimeScale     = 60
	RotationScale = 240
)
