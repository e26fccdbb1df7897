package apikey

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/cluster"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/hanging"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

const (
	folder = "elasticsearch_jwt/api_keys"

	headName     = "store.json"
	objectSuffix = ".key.json"

	storedVersion = 1

	// storageTimeout is how long the storage may take to answer while a client waits. If it takes longer, or fails,
	// nobody asks it for storagePause.
	storageTimeout = 2 * time.Second
	storagePause   = 10 * time.Second
)

// store is the folder of Caddy's storage with the keys that one user has made on one cluster:
//
//	store.json         what the store is called in the metadata of its keys, and a salt
//	<digest>.key.json  the key of a plan: see [object]
type store struct {
	storage certmagic.Storage
	path    string
	user    cluster.User

	unstored *unstored

	mu    sync.Mutex
	head  *head     // nil until it was read
	until time.Time // when the storage may be asked again
	down  error
}

// head is the content of store.json. Two Caddys without a common storage have two stores, and never delete each other's
// keys.
type head struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Salt    []byte `json:"salt"`
}

// stores has the stores that a configuration has used: the user can change.
type stores struct {
	mu    sync.Mutex
	known map[string]*store // by the path and the password
}

// of returns the store of a user and a cluster.
func (s *stores) of(storage certmagic.Storage, user cluster.User, c *cluster.Cluster) *store {
	addresses := make([]string, 0, len(c.Nodes()))
	for _, node := range c.Nodes() {
		addresses = append(addresses, node.URL)
	}
	slices.Sort(addresses)
	scope := sha256.Sum256(fmt.Appendf(nil, "%q %q", user.Name(), slices.Compact(addresses)))
	where := path.Join(folder, hex.EncodeToString(scope[:16]))
	s.mu.Lock()
	defer s.mu.Unlock()
	key := where + "\x00" + user.Secret()
	if known, ok := s.known[key]; ok {
		return known
	}
	if s.known == nil {
		s.known = make(map[string]*store)
	}
	opened := &store{
		storage: storage, path: where, user: user,
		unstored: unstoredOf(fmt.Sprintf("%s %s", setting.Identity(storage), where)),
	}
	for _, other := range s.known {
		if other.path == where {
			opened.head = other.readHead()
		}
	}
	s.known[key] = opened
	return opened
}

func (s *store) readHead() *head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// ask calls the storage, which may fail, panic, or not answer in time.
func ask[T any](ctx context.Context, s *store, call func(context.Context) (T, error)) (T, error) {
	var none T
	s.mu.Lock()
	down, until := s.down, s.until
	s.mu.Unlock()
	if down != nil && time.Now().Before(until) {
		return none, down
	}
	limited, cancel := context.WithTimeoutCause(ctx, storageTimeout, errors.New("the storage has not answered in time"))
	defer cancel()
	answers := hanging.Go("the storage", func() (T, error) { return call(limited) })
	var err error
	select {
	case a := <-answers:
		if a.Err == nil || errors.Is(a.Err, fs.ErrNotExist) {
			return a.Value, a.Err
		}
		err = a.Err
	case <-limited.Done():
		err = context.Cause(limited)
	}
	if ctx.Err() != nil {
		return none, err // nobody has waited long enough to tell
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.until = err, time.Now().Add(storagePause)
	return none, err
}

// isDown reports whether the storage has just failed, so that nobody asks it.
func (s *store) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down != nil && time.Now().Before(s.until)
}

// open returns the head of the store, and makes it if there is none.
func (s *store) open(ctx context.Context) (*head, error) {
	if known := s.readHead(); known != nil {
		return known, nil
	}
	name := path.Join(s.path, headName)
	found, err := s.loadHead(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		found, err = s.makeHead(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = found
	return found, nil
}

var errOtherStorage = errors.New("the storage is empty or another one all at once, " +
	"as if a volume was not mounted any more: API keys are kept")

// check reports whether the storage still is the one that was opened. If not, it is opened again by the next one who
// needs it.
func (s *store) check(ctx context.Context, opened *head) error {
	found, err := s.loadHead(ctx, path.Join(s.path, headName))
	switch {
	case err == nil && found.ID == opened.ID:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = nil
	return errOtherStorage
}

func (s *store) loadHead(ctx context.Context, name string) (*head, error) {
	content, err := ask(ctx, s, func(ctx context.Context) ([]byte, error) { return s.storage.Load(ctx, name) })
	if err != nil {
		return nil, err
	}
	var h head
	err = json.Unmarshal(content, &h)
	if err != nil || h.Version != storedVersion || h.ID == "" || len(h.Salt) < saltSize {
		return nil, fmt.Errorf("%s is damaged, or of another release: remove the folder %s", name, s.path)
	}
	return &h, nil
}

// saltSize is how many bytes the salt has, and the name of a store before it is written in hex.
const saltSize = 16

func (s *store) makeHead(ctx context.Context, name string) (*head, error) {
	release, lockErr := s.lock(ctx, headName)
	if lockErr == nil {
		defer release()
	}
	found, err := s.loadHead(ctx, name)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return found, err // another replica has made it meanwhile
	case lockErr != nil:
		return nil, lockErr
	}
	h := newHead()
	content, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return h, s.put(ctx, name, content)
}

func newHead() *head {
	id, salt := make([]byte, saltSize), make([]byte, saltSize)
	_, _ = rand.Read(id)
	_, _ = rand.Read(salt)
	return &head{Version: storedVersion, ID: hex.EncodeToString(id), Salt: salt}
}

func (s *store) put(ctx context.Context, name string, content []byte) error {
	_, err := ask(ctx, s, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.storage.Store(ctx, name, content)
	})
	return err
}

// lock takes a lock of the storage. It waits no longer than storageTimeout. If the storage gives the lock later, it is
// given back.
func (s *store) lock(ctx context.Context, name string) (release func(), err error) {
	return s.take(ctx, name, s.storage.Lock)
}

var errTaken = errors.New("somebody else has the lock")

// tryLock is lock, but does not wait for somebody else who has it, if the storage can tell.
func (s *store) tryLock(ctx context.Context, name string) (release func(), err error) {
	locker, ok := s.storage.(certmagic.TryLocker)
	if !ok {
		return s.lock(ctx, name)
	}
	return s.take(ctx, name, func(ctx context.Context, name string) error {
		taken, err := locker.TryLock(ctx, name)
		if err == nil && !taken {
			return errTaken
		}
		return err
	})
}

func (s *store) take(
	ctx context.Context, name string, lock func(context.Context, string) error,
) (release func(), err error) {
	name = strings.ReplaceAll(path.Join(s.path, name), "/", "_")
	ctx, cancel := context.WithTimeoutCause(ctx, storageTimeout, errTaken)
	defer cancel()
	unlock := func() {
		ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
		defer cancel()
		unlocked := hanging.Go("the storage", func() (struct{}, error) { return struct{}{}, s.storage.Unlock(ctx, name) })
		select {
		case <-unlocked:
		case <-ctx.Done(): // a lock that stays ends by itself
		}
	}
	answers := hanging.Go("the storage", func() (struct{}, error) { return struct{}{}, lock(ctx, name) })
	select {
	case a := <-answers:
		if a.Err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return unlock, a.Err
	case <-ctx.Done():
		go func() {
			if a := <-answers; a.Err == nil {
				unlock()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// objectName returns the name of the object of a plan.
func (s *store) objectName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return path.Join(s.path, hex.EncodeToString(sum[:])+objectSuffix)
}

// list returns the names of all objects.
func (s *store) list(ctx context.Context) ([]string, error) {
	found, err := ask(ctx, s, func(ctx context.Context) ([]string, error) { return s.storage.List(ctx, s.path, false) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, name := range found {
		base, ok := strings.CutSuffix(path.Base(name), objectSuffix)
		decoded, err := hex.DecodeString(base)
		if !ok || err != nil || len(decoded) != sha256.Size { // as of a program that synchronizes folders
			continue
		}
		names = append(names, path.Join(s.path, path.Base(name))) // some storages list names with a prefix of their own
	}
	return names, nil
}

// sealer returns what seals the objects.
func (s *store) sealer(ctx context.Context) (cipher.AEAD, *head, error) {
	h, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	aead, err := sealerOf(s.user.Secret(), h.Salt)
	return aead, h, err
}
