package enrol

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
)

// mood is how a safe is today.
type mood int

const (
	well     mood = iota
	locked        // nothing can be read or written
	readOnly      // what is there can be read
	slow          // everything takes three seconds
	fickle        // a probe succeeds, a Put does not
	late          // a Put or Delete takes effect and says that it ran out of time
	moods
)

// safe is a keystore in memory that outlives the service, with switches for what can go wrong.
type safe struct {
	mu      sync.Mutex // guards what follows
	mood    mood
	items   map[string]keystore.Item
	damaged map[string]bool
}

func newSafe() *safe {
	return &safe{items: map[string]keystore.Item{}, damaged: map[string]bool{}}
}

func (s *safe) set(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

func (s *safe) holds(key string) (keystore.Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	return item, ok && !s.damaged[key]
}

// lose removes the item of a key behind the service's back, or damages it for good.
func (s *safe) lose(key string, damage bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if damage {
		s.damaged[key] = true
	} else {
		delete(s.items, key)
	}
}

// prevents tells what does not work in a mood.
func (m mood) prevents(call string) bool {
	switch m {
	case locked:
		return true
	case readOnly:
		return call != "get"
	case fickle:
		return call == "put"
	}
	return false
}

// do carries out work, or does not.
func (s *safe) do(ctx context.Context, call string, work func() error) error {
	s.mu.Lock()
	mood := s.mood
	s.mu.Unlock()
	if mood == slow {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", keystore.ErrUnavailable, ctx.Err())
		}
	}
	if mood.prevents(call) {
		return fmt.Errorf("%w: it is in a mood", keystore.ErrUnavailable)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := work()
	if mood == late && (call == "put" || call == "delete") {
		return fmt.Errorf("%w: it did not answer in time", keystore.ErrUnavailable)
	}
	return err
}

// vault is the safe as one life of the service has it. Once that life is over nothing gets through any more.
type vault struct {
	keystore.Store // has what is not called here: Sealer
	life           *life
	safe           *safe
}

var errOver = fmt.Errorf("%w: the power is off", keystore.ErrUnavailable)

func (v vault) through(call func() error) error {
	if !v.life.moment() {
		return errOver
	}
	err := call()
	if !v.life.moment() {
		return errOver
	}
	return err
}

func (v vault) Put(ctx context.Context, item keystore.Item) error {
	v.life.putting(item)
	return v.through(func() error {
		return v.safe.do(ctx, "put", func() error {
			v.safe.items[item.Key] = item
			delete(v.safe.damaged, item.Key)
			return nil
		})
	})
}

func (v vault) Get(ctx context.Context, key string) (item keystore.Item, err error) {
	err = v.through(func() error {
		return v.safe.do(ctx, "get", func() error {
			found, ok := v.safe.items[key]
			switch {
			case v.safe.damaged[key]:
				return keystore.ErrLost
			case !ok:
				return keystore.ErrNotFound
			}
			item = found
			return nil
		})
	})
	return item, err
}

func (v vault) Delete(ctx context.Context, key string) error {
	v.life.deleting(key)
	return v.through(func() error {
		return v.safe.do(ctx, "delete", func() error {
			delete(v.safe.items, key)
			delete(v.safe.damaged, key)
			return nil
		})
	})
}

func (v vault) Probe(ctx context.Context) error {
	return v.through(func() error {
		return v.safe.do(ctx, "probe", func() error { return nil })
	})
}

func (v vault) Close() error { return nil }
