//go:build !esjwt_fast

package esjwt

const (
	timeScale     = 1
	rotationScale = 1
)
