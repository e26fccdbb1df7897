package token

import (
	"sync/atomic"
	"time"
)

// Holder is who gets tokens: what they say, and how long each lives.
type Holder struct {
	Claims   Claims
	Lifetime time.Duration

	// Slot is for the signer alone: it keeps there where the holder's last token came from, so that
	// the next request finds it with a load, and with no look-up.
	Slot atomic.Value
}

// Bearer is the scheme of RFC 6750, in the only case that Elasticsearch takes, with the blank after
// it.
const Bearer = "Bearer "
