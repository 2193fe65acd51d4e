package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// placeName is the file, beside the sealed records, that names the store which holds the items.
const placeName = "backend"

// place is the content of that file.
type place struct {
	Backend string `json:"backend"` // holds the items; what it says counts
	// Leftovers names another store in which a move left copies: of an unfinished move to it, or the originals of a
	// finished move from it. They are to be deleted.
	Leftovers  string `json:"leftovers,omitempty"`
	Collection string `json:"collection,omitempty"` // of the Secret Service
}

// move knows where the items are and brings them elsewhere. It decides nothing by itself except through the file:
// each step leaves a state from which the next start goes on.
type move struct {
	dir  string // of the file
	log  *slog.Logger
	open func(backend string) (*guard, error)

	mu    sync.Mutex // guards place and the writing of the file: a Secret Service may be chosen during a later call
	place place
}

// load reads the file; place stays zero if there is none yet.
func (m *move) load() error {
	data, err := os.ReadFile(filepath.Join(m.dir, placeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m.place)
	}
	if err == nil && m.place.Backend == "" {
		err = errors.New("it names no backend")
	}
	if err != nil {
		return fmt.Errorf("%s, which names the store in use, cannot be read: %v", filepath.Join(m.dir, placeName), err)
	}
	return nil
}

// save changes the file, and place once that is durable.
func (m *move) save(change func(*place)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.place
	change(&p)
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := writeFile(m.dir, placeName, append(data, '\n')); err != nil {
		return fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	m.place = p
	return nil
}

func (m *move) now() place {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place
}

// chosen keeps the name of the Secret Service's collection.
func (m *move) chosen(collection string) error {
	return m.save(func(p *place) { p.Collection = collection })
}

// to opens the store that is wanted, with the items in it. Failing that it opens the one in use, which then says in
// its status why the items are still there.
func (m *move) to(ctx context.Context, want string) (*guard, error) {
	current := m.now().Backend
	if current == "" {
		store, err := m.open(want)
		if err != nil {
			return nil, err
		}
		return store, m.save(func(p *place) { p.Backend = want })
	}
	from, err := m.open(current)
	if err != nil {
		return nil, err
	}
	if want == current {
		return m.tidied(ctx, from), nil
	}
	target, err := m.open(want)
	if err == nil {
		err = m.carry(ctx, from, target)
	}
	if err != nil {
		m.log.Warn("the keystore stays where it was", "backend", current, "wanted", want, "error", err)
		from.note = fmt.Sprintf("the secrets are still in %s: cannot move them to %s: %v; restart profitd to try again", current, want, err)
		return from, nil
	}
	m.log.Info("moved the secrets to another keystore", "from", current, "to", want)
	return m.tidied(ctx, target), nil
}

// carry copies every item, reads it back, and makes the other store the one that counts. An item that is unreadable
// for now stops it; one that is damaged for good stays behind, and is deleted with the rest.
func (m *move) carry(ctx context.Context, from, target *guard) error {
	if err := target.Probe(ctx); err != nil {
		return err
	}
	if err := m.tidy(ctx); err != nil {
		return err
	}
	if err := m.save(func(p *place) { p.Leftovers = target.name }); err != nil {
		return err
	}
	keys, err := from.List(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		item, err := from.Get(ctx, key)
		if errors.Is(err, ErrLost) {
			m.log.Warn("a damaged record is not moved", "key", key)
			continue
		}
		if err == nil {
			err = copyItem(ctx, target, item)
		}
		if err != nil {
			return err
		}
	}
	if err := m.save(func(p *place) { p.Backend, p.Leftovers = target.name, from.name }); err != nil {
		// The change may have reached the disk all the same; what counts from here on is the old store.
		return errors.Join(err, m.save(func(*place) {}))
	}
	return nil
}

// copyItem stores an item and reads it back.
func copyItem(ctx context.Context, target *guard, item Item) error {
	if err := target.Put(ctx, item); err != nil {
		return err
	}
	got, err := target.Get(ctx, item.Key)
	if err != nil {
		return err
	}
	if got.Label != item.Label || got.Generation != item.Generation || !bytes.Equal(got.Secret, item.Secret) {
		return fmt.Errorf("%w: it gave back something else than it was given", ErrUnavailable)
	}
	return nil
}

// tidied deletes what a move left in the other store. While that fails the store is good, and its status says that
// there are copies elsewhere.
func (m *move) tidied(ctx context.Context, store *guard) *guard {
	if err := m.tidy(ctx); err != nil {
		store.note = fmt.Sprintf("copies of the secrets are still in %s: cannot delete them: %v; restart profitd to try again", m.now().Leftovers, err)
	}
	return store
}

func (m *move) tidy(ctx context.Context) error {
	left := m.now().Leftovers
	if left == "" {
		return nil
	}
	other, err := m.open(left)
	if err != nil {
		return err
	}
	keys, err := other.List(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := other.Delete(ctx, key); err != nil {
			return err
		}
	}
	return m.save(func(p *place) { p.Leftovers = "" })
}
