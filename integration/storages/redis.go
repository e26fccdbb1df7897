package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
)

func init() { caddy.RegisterModule(new(redisStorage)) }

// How the locks of storages in Redis work: a key with a time to live, which its holder renews, and
// which others ask for again and again.
const (
	redisLockTTL   = 5 * time.Second
	redisLockRenew = 2 * time.Second
	redisLockPoll  = time.Second
)

// redisStorage keeps each object under its name, and lists by looking at all names.
type redisStorage struct {
	Address string `json:"address,omitempty"`

	client *redis.Client
	mu     sync.Mutex
	held   map[string]context.CancelFunc // locks that are renewed
}

func (*redisStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.thin_redis", New: func() caddy.Module { return new(redisStorage) }}
}

func (s *redisStorage) CertMagicStorage() (certmagic.Storage, error) {
	s.client = redis.NewClient(&redis.Options{Addr: s.Address})
	s.held = make(map[string]context.CancelFunc)
	return s, nil
}

// UnmarshalCaddyfile reads `thin_redis <address>`.
func (s *redisStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&s.Address) {
		return d.ArgErr()
	}
	return nil
}

func (s *redisStorage) Lock(ctx context.Context, name string) error {
	for {
		free, err := s.client.SetNX(ctx, "lock/"+name, "1", redisLockTTL).Result()
		if err != nil {
			return err
		}
		if free {
			break
		}
		select {
		case <-time.After(redisLockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	renew, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.held[name] = cancel
	s.mu.Unlock()
	go func() {
		for {
			select {
			case <-time.After(redisLockRenew):
				s.client.Expire(renew, "lock/"+name, redisLockTTL)
			case <-renew.Done():
				return
			}
		}
	}()
	return nil
}

func (s *redisStorage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	if stop, ok := s.held[name]; ok {
		stop()
		delete(s.held, name)
	}
	s.mu.Unlock()
	return s.client.Del(ctx, "lock/"+name).Err()
}

func (s *redisStorage) Store(ctx context.Context, key string, value []byte) error {
	hang()
	return s.client.Set(ctx, key, value, 0).Err()
}

func (s *redisStorage) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fs.ErrNotExist
	}
	return value, err
}

func (s *redisStorage) Delete(ctx context.Context, key string) error {
	return s.client.Del(ctx, key).Err()
}

func (s *redisStorage) Exists(ctx context.Context, key string) bool {
	n, err := s.client.Exists(ctx, key).Result()
	return err == nil && n > 0
}

func (s *redisStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	var names []string
	all := s.client.Scan(ctx, 0, prefix+"/*", 1000).Iterator()
	for all.Next(ctx) {
		names = append(names, all.Val())
	}
	if err := all.Err(); err != nil {
		return nil, err
	}
	return listed(names, prefix, recursive)
}

func (s *redisStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := s.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: true}, err
}

func (s *redisStorage) String() string { return fmt.Sprintf("Redis at %s", s.Address) }

// listed leaves those of the names below a folder that are to be listed.
func listed(names []string, prefix string, recursive bool) ([]string, error) {
	var found []string
	for _, name := range names {
		if recursive || path.Dir(name) == strings.TrimSuffix(prefix, "/") {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return nil, fs.ErrNotExist
	}
	return found, nil
}

// Interface guards
var (
	_ caddy.StorageConverter = (*redisStorage)(nil)
	_ caddyfile.Unmarshaler  = (*redisStorage)(nil)
	_ certmagic.Storage      = (*redisStorage)(nil)
)
