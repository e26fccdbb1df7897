package main

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func init() { caddy.RegisterModule(new(postgresStorage)) }

// postgresLockTimeout is when a lock ends that nobody released.
const postgresLockTimeout = 10 * time.Second

// postgresStorage keeps objects and locks in a table each.
type postgresStorage struct {
	DSN string `json:"dsn,omitempty"`

	// LockPoll is how often a lock that others have is asked for. Zero: it is refused, as some of
	// the published modules do.
	LockPoll caddy.Duration `json:"lock_poll,omitempty"`

	pool   *pgxpool.Pool
	tables sync.Mutex
	made   bool
}

func (*postgresStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.thin_postgres", New: func() caddy.Module { return new(postgresStorage) }}
}

func (s *postgresStorage) CertMagicStorage() (certmagic.Storage, error) {
	var err error
	s.pool, err = pgxpool.New(context.Background(), s.DSN)
	return s, err
}

// UnmarshalCaddyfile reads `thin_postgres <dsn> <lock_poll>`.
func (s *postgresStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	var poll string
	if !d.AllArgs(&s.DSN, &poll) {
		return d.ArgErr()
	}
	duration, err := caddy.ParseDuration(poll)
	s.LockPoll = caddy.Duration(duration)
	return err
}

// do makes the tables, once, and runs a statement.
func (s *postgresStorage) do(ctx context.Context, sql string, args ...any) (int64, error) {
	if err := s.makeTables(ctx); err != nil {
		return 0, err
	}
	tag, err := s.pool.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

func (s *postgresStorage) makeTables(ctx context.Context) error {
	s.tables.Lock()
	defer s.tables.Unlock()
	if s.made {
		return nil
	}
	// Replicas that start together must not make them at once.
	_, err := s.pool.Exec(ctx, `
		BEGIN;
		SELECT pg_advisory_xact_lock(1);
		CREATE TABLE IF NOT EXISTS objects (key text PRIMARY KEY, value bytea NOT NULL);
		CREATE TABLE IF NOT EXISTS locks (key text PRIMARY KEY, expires timestamptz NOT NULL);
		COMMIT`)
	s.made = err == nil
	return err
}

var errLocked = errors.New("the key is locked")

func (s *postgresStorage) Lock(ctx context.Context, name string) error {
	for {
		taken, err := s.do(ctx, `INSERT INTO locks VALUES ($1, now() + $2)
			ON CONFLICT (key) DO UPDATE SET expires = excluded.expires WHERE locks.expires < now()`, name, postgresLockTimeout)
		switch {
		case err != nil:
			return err
		case taken == 1:
			return nil
		case s.LockPoll == 0:
			return errLocked
		}
		select {
		case <-time.After(time.Duration(s.LockPoll)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *postgresStorage) Unlock(ctx context.Context, name string) error {
	_, err := s.do(ctx, `DELETE FROM locks WHERE key = $1`, name)
	return err
}

func (s *postgresStorage) Store(ctx context.Context, key string, value []byte) error {
	hang()
	_, err := s.do(ctx,
		`INSERT INTO objects VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	return err
}

func (s *postgresStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.makeTables(ctx); err != nil {
		return nil, err
	}
	var value []byte
	err := s.pool.QueryRow(ctx, `SELECT value FROM objects WHERE key = $1`, key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fs.ErrNotExist
	}
	return value, err
}

func (s *postgresStorage) Delete(ctx context.Context, key string) error {
	_, err := s.do(ctx, `DELETE FROM objects WHERE key = $1`, key)
	return err
}

func (s *postgresStorage) Exists(ctx context.Context, key string) bool {
	_, err := s.Load(ctx, key)
	return err == nil
}

func (s *postgresStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if err := s.makeTables(ctx); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `SELECT key FROM objects WHERE starts_with(key, $1) ORDER BY key`, prefix+"/")
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	return listed(names, prefix, recursive)
}

func (s *postgresStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := s.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: true}, err
}

func (s *postgresStorage) String() string { return "PostgreSQL" }

// Interface guards
var (
	_ caddy.StorageConverter = (*postgresStorage)(nil)
	_ caddyfile.Unmarshaler  = (*postgresStorage)(nil)
	_ certmagic.Storage      = (*postgresStorage)(nil)
)
