package esrealm

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// store holds the node's indices in memory.
type store struct {
	mu      sync.Mutex
	indices map[string]*index
}

type index struct {
	docs     map[string]*document
	versions map[string]int // of every document, including deleted ones
	writes   int
}

// document is one version of a document.
type document struct {
	index, id string
	version   int
	seq       int // the number of writes to the index before this one
	source    json.RawMessage
	fields    map[string]any
}

// create makes an index. It returns false if there is already one.
func (s *store) create(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indices[name] != nil {
		return false
	}
	s.indices[name] = &index{docs: map[string]*document{}, versions: map[string]int{}}
	return true
}

func (s *store) drop(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.indices[name]
	delete(s.indices, name)
	return ok
}

func (s *store) has(name string) bool { return slices.Contains(s.names(), name) }

// names returns the names of all indices, sorted.
func (s *store) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.indices))
}

// write makes the next version of a document.
func (s *store) write(name, id string) (*index, *document) {
	i := s.indices[name]
	i.versions[id]++
	i.writes++
	return i, &document{index: name, id: id, version: i.versions[id], seq: i.writes - 1}
}

// conflictError is the error for a document that exists, with its version.
type conflictError int

func (e conflictError) Error() string { return fmt.Sprintf("version %d exists", int(e)) }

// put writes a document and reports whether it is a new one. It creates the index
// if there is none. With create, a document that exists is a [conflictError].
func (s *store) put(name, id string, source []byte, create bool) (d *document, isNew bool, err error) {
	var fields map[string]any
	if err := json.Unmarshal(source, &fields); err != nil {
		return nil, false, err
	}
	if id == "" {
		id = rand.Text()
	}
	s.create(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.indices[name].docs[id]
	if old != nil && create {
		return nil, false, conflictError(old.version)
	}
	i, d := s.write(name, id)
	d.source, d.fields = source, fields
	i.docs[id] = d
	return d, old == nil, nil
}

func (s *store) get(name, id string) *document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indices[name].docs[id]
}

// remove deletes a document and reports whether it existed. The deletion is a new
// version of the document.
func (s *store) remove(name, id string) (d *document, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, d := s.write(name, id)
	_, found = i.docs[id]
	delete(i.docs, id)
	return d, found
}

// search returns the documents that match the query, the oldest of each index
// first.
func (s *store) search(names []string, q query) []*document {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hits []*document
	for _, name := range names {
		found := slices.DeleteFunc(slices.Collect(maps.Values(s.indices[name].docs)),
			func(d *document) bool { return !q(d) })
		slices.SortFunc(found, func(a, b *document) int { return cmp.Compare(a.seq, b.seq) })
		hits = append(hits, found...)
	}
	return hits
}
