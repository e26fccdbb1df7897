package token

import (
	"sync/atomic"
	"time"
)

// Holder is who gets tokens: what they say, and how long each lives.
type Holder struct {
	Claims   Claims
	Lifetime time.Duration

	// Slot is for whoever gives the holder its tokens or other credentials: it keeps there where the last one came from,
	// so that the next request finds it with a load, and with no look-up. A holder has one such giver, since an
	// [atomic.Value] takes values of one type.
	Slot atomic.Value
}

// Bearer is the scheme of RFC 6750, in the only case that Elasticsearch takes, with the blank after
// it.
const Bearer = "Bearer "
