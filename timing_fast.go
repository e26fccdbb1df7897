//go:build esjwt_fast

package esjwt

// A minute is a second: only for the integration suite. Tokens are as safe as ever, but live
// shorter than Elasticsearch's clock skew.
const (
	timeScale     = 60
	rotationScale = 240
)
