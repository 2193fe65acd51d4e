package keystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// defaultTimeout bounds a call whose context has no deadline.
const defaultTimeout = 10 * time.Second

// backend is one kind of store, plainly: calls come one at a time, may block, and need no locks.
type backend interface {
	put(item Item) error
	get(key string) (Item, error)
	delete(key string) error
	list() ([]string, error)
	probe() error
	status() Status
	// keys returns the keys for Sealer, preferred first; with create, it makes one if there may be one and is none.
	keys(create bool) (keys, error)
}

// guard makes a Store of a backend: one call at a time, each with a deadline, no more than one stuck.
type guard struct {
	name    string // of the kind of store
	backend backend
	note    string        // why a move to another store could not be made; "" if none was due
	turn    chan struct{} // holds one element while the backend works

	mu      sync.Mutex // guards what follows
	due     time.Time  // when the backend should have answered the call it works on; zero: it is idle
	trouble error      // of the last Put or Probe; nil after one that succeeded
	closed  bool
}

func newGuard(name string, b backend) *guard {
	return &guard{name: name, backend: b, turn: make(chan struct{}, 1)}
}

// call runs f on the backend by the deadline of ctx. When time runs out f is left to itself and keeps its turn.
func call[T any](ctx context.Context, g *guard, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	if err := g.take(ctx); err != nil {
		return *new(T), err
	}
	done := make(chan result, 1)
	go func() {
		defer g.release()
		// The libraries under the keystores of the system assume much of what comes over D-Bus: with a bus that
		// goes away during a prompt they dereference nil. That must not end the service.
		defer func() {
			if p := recover(); p != nil {
				done <- result{err: fmt.Errorf("%w: its library failed: %v", ErrUnavailable, p)}
			}
		}()
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return *new(T), outOfTime(ctx)
	}
}

// take waits for the backend to be free, but not for one that is stuck.
func (g *guard) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return outOfTime(ctx)
	}
	g.mu.Lock()
	stuck, closed := !g.due.IsZero() && time.Now().After(g.due), g.closed
	g.mu.Unlock()
	if closed {
		return fmt.Errorf("%w: it was closed", ErrUnavailable)
	}
	if stuck {
		return fmt.Errorf("%w: an earlier call has not come back; see whether it waits for a person to unlock it", ErrUnavailable)
	}
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return outOfTime(ctx)
	}
	g.mu.Lock()
	g.due, _ = ctx.Deadline()
	g.mu.Unlock()
	return nil
}

func (g *guard) release() {
	g.mu.Lock()
	g.due = time.Time{}
	g.mu.Unlock()
	<-g.turn
}

func outOfTime(ctx context.Context) error {
	return fmt.Errorf("%w: it did not answer in time (%w)", ErrUnavailable, context.Cause(ctx))
}

// wrote remembers the outcome of a write for Status. An item that does not fit, or a caller that hangs up, says
// nothing about the store.
func (g *guard) wrote(err error) {
	if err != nil && !errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) {
		return
	}
	g.mu.Lock()
	g.trouble = err
	g.mu.Unlock()
}

// Put implements Store.
func (g *guard) Put(ctx context.Context, item Item) error {
	err := checkKey(item.Key)
	if err == nil {
		_, err = call(ctx, g, func() (struct{}, error) { return struct{}{}, g.backend.put(item) })
		g.wrote(err)
	}
	return cannot("store a secret", err)
}

// Get implements Store.
func (g *guard) Get(ctx context.Context, key string) (Item, error) {
	err := checkKey(key)
	var item Item
	if err == nil {
		item, err = call(ctx, g, func() (Item, error) { return g.backend.get(key) })
	}
	return item, cannot("read a secret", err)
}

// Delete implements Store.
func (g *guard) Delete(ctx context.Context, key string) error {
	err := checkKey(key)
	if err == nil {
		_, err = call(ctx, g, func() (struct{}, error) { return struct{}{}, g.backend.delete(key) })
	}
	return cannot("delete a secret", err)
}

// List implements Store.
func (g *guard) List(ctx context.Context) ([]string, error) {
	list, err := call(ctx, g, g.backend.list)
	return list, cannot("list the secrets", err)
}

// Probe implements Store.
func (g *guard) Probe(ctx context.Context) error {
	_, err := call(ctx, g, func() (struct{}, error) { return struct{}{}, g.backend.probe() })
	g.wrote(err)
	return cannot("store a secret", err)
}

// Status implements Store.
func (g *guard) Status(ctx context.Context) Status {
	s, err := call(ctx, g, func() (Status, error) { return g.backend.status(), nil })
	s.Backend = g.name
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, err := range []error{err, g.trouble} {
		if err != nil {
			s.Healthy = false
			s.Detail = join(s.Detail, err.Error())
		}
	}
	if g.note != "" {
		s.Healthy = false
		s.Detail = join(s.Detail, g.note)
	}
	return s
}

// join makes one line of two remarks, either of which may be empty, and says nothing twice.
func join(a, b string) string {
	switch {
	case a == "":
		return b
	case strings.Contains(a, b):
		return a
	}
	return a + "; " + b
}

// Sealer implements Store.
func (g *guard) Sealer() *Sealer {
	return &Sealer{keys: func(create bool) (keys, error) {
		return call(context.Background(), g, func() (keys, error) { return g.backend.keys(create) })
	}}
}

// Close implements Store.
func (g *guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return nil
}

// cannot says what was wanted before why it failed.
func cannot(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}
