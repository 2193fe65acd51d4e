package daemon

import "sync"

// hub tells those who wait that entries changed. It carries keys alone: who is told looks for himself, so nothing
// piles up behind a slow one.
type hub struct {
	mu      sync.Mutex // guards what follows
	waiters map[string]chan struct{}
	streams map[*stream]bool
}

// wait returns a channel that is closed at the next change of the entry. Look at the entry after asking for it.
func (h *hub) wait(key string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiters == nil {
		h.waiters = map[string]chan struct{}{}
	}
	changed := h.waiters[key]
	if changed == nil {
		changed = make(chan struct{})
		h.waiters[key] = changed
	}
	return changed
}

// notify says that entries changed.
func (h *hub) notify(keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if changed := h.waiters[key]; changed != nil {
			close(changed)
			delete(h.waiters, key)
		}
	}
	for s := range h.streams {
		s.add(keys)
	}
}

// notifyAll says that the configuration changed, and with it perhaps everything.
func (h *hub) notifyAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, changed := range h.waiters {
		close(changed)
		delete(h.waiters, key)
	}
	for s := range h.streams {
		s.add(nil)
	}
}

// stream collects what changed since its reader last looked.
type stream struct {
	signal chan struct{} // has an element when there is something to take

	mu   sync.Mutex // guards what follows
	keys map[string]bool
	all  bool
}

func (h *hub) open() *stream {
	s := &stream{signal: make(chan struct{}, 1), keys: map[string]bool{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams == nil {
		h.streams = map[*stream]bool{}
	}
	h.streams[s] = true
	return s
}

func (h *hub) close(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// add says what changed; nil means everything.
func (s *stream) add(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys == nil {
		s.all = true
	}
	for _, key := range keys {
		s.keys[key] = true
	}
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *stream) take() (keys map[string]bool, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, all = s.keys, s.all
	s.keys, s.all = map[string]bool{}, false
	return keys, all
}
