package esrealm

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// store holds the node's indices in memory.
type store struct {
	mu      sync.RWMutex
	indices map[string]*index
}

type index struct {
	name string
	uuid string
	docs map[string]*document
	seq  int64
	gone map[string]int64 // versions of deleted documents
}

// document is one version of a document.
type document struct {
	index   string
	id      string
	version int64
	seq     int64
	source  json.RawMessage
	fields  map[string]any
}

func newStore() *store { return &store{indices: map[string]*index{}} }

// create makes an index, and reports whether there was none. An index that
// exists is returned as it is.
func (s *store) create(name string) (*index, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createLocked(name)
}

func (s *store) createLocked(name string) (*index, bool) {
	if i, ok := s.indices[name]; ok {
		return i, false
	}
	i := &index{name: name, uuid: newID(16), docs: map[string]*document{}, gone: map[string]int64{}}
	s.indices[name] = i
	return i, true
}

func (s *store) drop(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.indices[name]
	delete(s.indices, name)
	return ok
}

func (s *store) has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.indices[name]
	return ok
}

// names are those of all indices, sorted.
func (s *store) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.indices))
}

func (s *store) uuid(name string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i, ok := s.indices[name]; ok {
		return i.uuid
	}
	return "_na_"
}

// conflictError is the version of a document that should have been created.
type conflictError int64

func (e conflictError) Error() string { return fmt.Sprintf("version %d exists", int64(e)) }

// put writes a document into an index, which it creates if need be. With
// create, a document that exists is left alone, and is a [conflictError].
func (s *store) put(name, id string, source []byte, create bool) (*document, error) {
	var fields map[string]any
	if err := json.Unmarshal(source, &fields); err != nil {
		return nil, err
	}
	if id == "" {
		id = newID(15)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := s.createLocked(name)
	d := &document{index: name, id: id, version: 1, seq: i.seq, source: slices.Clone(source), fields: fields}
	if old, ok := i.docs[id]; ok {
		if create {
			return nil, conflictError(old.version)
		}
		d.version = old.version + 1
	} else if v, ok := i.gone[id]; ok {
		d.version = v + 1
	}
	i.seq++
	i.docs[id] = d
	delete(i.gone, id)
	return d, nil
}

func (s *store) get(name, id string) *document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i, ok := s.indices[name]; ok {
		return i.docs[id]
	}
	return nil
}

// remove deletes a document; it returns the deletion as a version of its own.
func (s *store) remove(name, id string) (d *document, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.indices[name]
	if !ok {
		return nil, false
	}
	d = &document{index: name, id: id, version: 1, seq: i.seq}
	if old, ok := i.docs[id]; ok {
		d.version, found = old.version+1, true
	} else if v, ok := i.gone[id]; ok {
		d.version = v + 1
	}
	i.seq++
	delete(i.docs, id)
	i.gone[id] = d.version
	return d, found
}

// search returns the documents of the indices that the query matches, the
// oldest first.
func (s *store) search(names []string, q query) []*document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var hits []*document
	for _, name := range names {
		i, ok := s.indices[name]
		if !ok {
			continue
		}
		start := len(hits)
		for _, d := range i.docs {
			if q(d) {
				hits = append(hits, d)
			}
		}
		slices.SortFunc(hits[start:], func(a, b *document) int { return cmp.Compare(a.seq, b.seq) })
	}
	return hits
}

func newID(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return strings.TrimLeft(base64.RawURLEncoding.EncodeToString(b), "-_")
}
