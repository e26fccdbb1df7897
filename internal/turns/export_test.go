package turns

// Keys returns the number of keys for which a goroutine has the turn or waits.
func (t *Turns[K]) Keys() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys)
}
