package keystore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a backend that keeps items in memory, and can be made to fail.
type memory struct {
	items map[string]Item
	fail  func(op string) error // nil: nothing fails
}

func (m *memory) try(op string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(op)
}

func (m *memory) put(item Item) error {
	err := m.try("put")
	if err == nil {
		m.items[item.Key] = item
	}
	return err
}

func (m *memory) get(key string) (Item, error) {
	if err := m.try("get"); err != nil {
		return Item{}, err
	}
	if item, ok := m.items[key]; ok {
		return item, nil
	}
	return Item{}, ErrNotFound
}

func (m *memory) delete(key string) error {
	err := m.try("delete")
	if err == nil {
		delete(m.items, key)
	}
	return err
}

func (m *memory) list() ([]string, error)  { return slices.Collect(maps.Keys(m.items)), m.try("list") }
func (m *memory) probe() error             { return m.try("probe") }
func (m *memory) status() Status           { return Status{Key: "memory", Healthy: true} }
func (m *memory) keys(bool) (keys, error)  { return nil, m.try("keys") }
func newMemory() *memory                   { return &memory{items: map[string]Item{}} }
func failing(err error) func(string) error { return func(string) error { return err } }

// A keystore that waits for a person who is not there: the call ends by its deadline, those that wait behind it end
// by theirs, later ones fail at once without a goroutine of their own, and all is well when it comes back.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, back := newMemory(), make(chan struct{})
		var calls atomic.Int32
		m.fail = func(string) error {
			calls.Add(1)
			<-back
			return nil
		}
		g := newGuard("memory", m)
		began := time.Now()
		waiting := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			waiting <- g.Put(ctx, Item{Key: "waiting"})
		}()
		if _, err := g.Get(context.Background(), "key"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v", err)
		}
		if took := time.Since(began); took != defaultTimeout {
			t.Errorf("Get took %v", took)
		}
		time.Sleep(time.Millisecond)
		began = time.Now()
		for range 100 {
			if err := g.Probe(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Probe = %v", err)
			}
		}
		if s := g.Status(t.Context()); s.Healthy || s.Backend != "memory" || !strings.Contains(s.Detail, "has not come back") || strings.Count(s.Detail, "in time") > 1 {
			t.Errorf("Status = %+v", s)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the calls behind it took %v", took)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls reached the keystore", n)
		}
		close(back)
		synctest.Wait()
		if err := <-waiting; err != nil {
			t.Errorf("the call that waited: %v", err)
		}
		if err := g.Probe(t.Context()); err != nil {
			t.Errorf("Probe = %v", err)
		}
	})
}

// Somebody who hangs up early does not make the keystore count as stuck.
func TestCancelledIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.fail = func(string) error {
			time.Sleep(time.Second)
			return nil
		}
		g := newGuard("memory", m)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := g.List(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("List = %v", err)
		}
		if err := g.Probe(t.Context()); err != nil {
			t.Errorf("Probe = %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		g.Put(ctx, Item{Key: "key"})
		if s := g.Status(t.Context()); !s.Healthy {
			t.Errorf("Status = %+v", s)
		}
	})
}

// A library that panics, as libsecret does when the bus goes away, is a keystore that is not available.
func TestPanic(t *testing.T) {
	m := newMemory()
	m.fail = func(string) error { panic("bus gone") }
	g := newGuard("memory", m)
	for range 2 {
		if err := g.Probe(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Probe = %v", err)
		}
	}
}

// A write that failed shows in the status until one succeeds.
func TestTroubleShows(t *testing.T) {
	m := newMemory()
	g := newGuard("memory", m)
	m.fail = failing(ErrUnavailable)
	g.Put(t.Context(), Item{Key: "key"})
	if s := g.Status(t.Context()); s.Healthy || s.Detail == "" {
		t.Errorf("Status = %+v", s)
	}
	m.fail = failing(ErrTooLarge) // is about the item, not about the store
	g.Put(t.Context(), Item{Key: "key"})
	if s := g.Status(t.Context()); s.Healthy {
		t.Errorf("Status = %+v", s)
	}
	m.fail = nil
	g.Probe(t.Context())
	if s := g.Status(t.Context()); !s.Healthy || s.Detail != "" {
		t.Errorf("Status = %+v", s)
	}
}
