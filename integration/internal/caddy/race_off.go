//go:build !race

package caddy

const raceEnabled = false
