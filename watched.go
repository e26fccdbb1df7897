package esjwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/crl"
)

const (
	// fileInterval is how often a file is looked at for changes.
	fileInterval = 10 * time.Second

	// urlInterval is how often a URL is asked again, fetchTimeout how long that may take, and
	// maxFetched how large the answer may be.
	urlInterval  = time.Minute
	fetchTimeout = 10 * time.Second
	maxFetched   = crl.MaxSize
)

// watched is what was read from a file, a variable or a URL, which can change while Caddy runs: it
// is looked at again and again. What cannot be read or parsed leaves what was there before, and
// an error in the log.
type watched[T any] struct {
	name     string
	interval time.Duration
	settles  bool // a change is believed once it stays
	load     func(context.Context) ([]byte, error)
	parse    func([]byte) (T, error)
	changed  func() // called after a change
	logger   *zap.Logger

	value     atomic.Pointer[T]
	due       bool   // the first look of all is yet to come
	content   []byte // of the last look; for the goroutine that looks
	complaint string // the last one in the log
}

// watcher is a watched of any type.
type watcher interface{ watch(context.Context) }

// watchFile reads a file for the first time.
func watchFile[T any](name string, parse func([]byte) (T, error), changed func(), logger *zap.Logger) (*watched[T], error) {
	w := &watched[T]{
		name:     name,
		interval: fileInterval,
		settles:  true,
		load: func(context.Context) ([]byte, error) {
			content, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("%w: name a file that Caddy can read", err)
			}
			return content, nil
		},
		parse:   parse,
		changed: changed,
		logger:  logger,
	}
	return w, w.first()
}

// watchURL reads a URL. If what it had is known, it is asked in the background. If not, it is asked at
// once, and a failure is logged: a server that is down for a moment must not keep Caddy from starting.
// What was read is for parse to keep.
func watchURL[T any](address string, known bool, parse func([]byte) (T, error), logger *zap.Logger) *watched[T] {
	w := &watched[T]{
		name:     redacted(address),
		interval: urlInterval,
		due:      known,
		load:     func(ctx context.Context) ([]byte, error) { return fetch(ctx, address) },
		parse:    parse,
		changed:  func() {},
		logger:   logger,
	}
	if known {
		return w
	}
	if err := w.first(); err != nil {
		w.complaint = err.Error()
		w.logger.Error("it could not be fetched, or is not usable; it is asked for again every minute", zap.String("source", w.name), zap.Error(err))
	}
	return w
}

func (w *watched[T]) first() error {
	content, err := w.load(context.Background())
	if err != nil {
		return err
	}
	value, err := w.parse(content)
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	w.value.Store(&value)
	w.content = content
	return nil
}

func (w *watched[T]) get() T { return *w.value.Load() }

// watch looks for changes until the context ends.
func (w *watched[T]) watch(ctx context.Context) {
	if w.due {
		w.look(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.interval):
			w.look(ctx)
		}
	}
}

func (w *watched[T]) look(ctx context.Context) {
	content, err := w.load(ctx)
	if err != nil {
		w.complain(err)
		return
	}
	if w.content != nil && bytes.Equal(content, w.content) {
		w.complaint = "" // it is back
		return
	}
	if w.settles && !w.settled(ctx, content) {
		return // somebody is writing it: half a deny list denies half of the clients
	}
	value, err := w.parse(content)
	if err != nil {
		w.complain(err)
		return
	}
	w.value.Store(&value)
	w.content, w.complaint = content, ""
	w.changed()
	w.logger.Info("what has changed was read", zap.String("source", w.name))
}

// settleTime is how long a changed file must stay as it is before it is believed.
const settleTime = time.Second

// settled reports whether what was read is still the same a little later.
func (w *watched[T]) settled(ctx context.Context, content []byte) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settleTime):
	}
	again, err := w.load(ctx)
	return err == nil && bytes.Equal(again, content)
}

// complain logs what is wrong, once.
func (w *watched[T]) complain(err error) {
	if err.Error() != w.complaint {
		w.complaint = err.Error()
		w.logger.Error("it could not be read or is not usable; what was read before goes on", zap.String("source", w.name), zap.Error(err))
	}
}

// redacted is a URL without what can be a password or a token in it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a URL that cannot be read"
	}
	if u.RawQuery != "" {
		u.RawQuery = "xxxxx"
	}
	return u.Redacted()
}

func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// fetch gets a file by HTTP. Its errors do not have the URL in them, which can have a password.
func fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", res.Status)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, maxFetched+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFetched {
		return nil, fmt.Errorf("it has more than %d bytes", maxFetched)
	}
	return content, nil
}
