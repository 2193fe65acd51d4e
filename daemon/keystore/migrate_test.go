package keystore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a state directory and two keystores, which break after so many operations.
type machine struct {
	dir    string
	stores map[string]*memory
	left   int // operations until everything fails, as if the process were killed; negative: never
	killed bool
}

func newMachine(t *testing.T) *machine {
	m := &machine{dir: t.TempDir(), stores: map[string]*memory{"old": newMemory(), "new": newMemory()}, left: -1}
	for _, store := range m.stores {
		store.fail = func(string) error {
			if m.left == 0 {
				m.killed = true
				return fmt.Errorf("%w: killed", ErrUnavailable)
			}
			m.left--
			return nil
		}
	}
	return m
}

// start opens the store that is wanted, as a process that starts does.
func (m *machine) start(t *testing.T, want string) *guard {
	t.Helper()
	mv := &move{dir: m.dir, log: slog.New(slog.DiscardHandler)}
	if err := mv.load(); err != nil {
		t.Fatal(err)
	}
	mv.open = func(name string) (*guard, error) { return newGuard(name, m.stores[name]), nil }
	g, err := mv.to(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (m *machine) wantItems(t *testing.T, g *guard, generation uint64, keys ...string) {
	t.Helper()
	for _, key := range keys {
		item, err := g.Get(t.Context(), key)
		if err != nil || item.Generation != generation || string(item.Secret) != "secret of "+key {
			t.Fatalf("%s has %v, %v; want generation %d", g.name, item, err, generation)
		}
	}
	if list, err := g.List(t.Context()); err != nil || len(list) != len(keys) {
		t.Fatalf("%s lists %v, %v; want %v", g.name, list, err, keys)
	}
}

func item(key string, generation uint64) Item {
	return Item{Key: key, Label: "label of " + key, Generation: generation, Secret: []byte("secret of " + key)}
}

// A move that breaks off anywhere loses nothing: the store that was opened has every item; after a restart the items
// are in the store that is wanted, be it the new or again the old one, with what was changed in between; and no copy
// stays in the other.
func TestMoveBrokenOffAnywhere(t *testing.T) {
	for _, then := range []string{"new", "old"} {
		for steps := 0; ; steps++ {
			m := newMachine(t)
			g := m.start(t, "old")
			for _, key := range []string{"a", "b", "c"} {
				if err := g.Put(t.Context(), item(key, 1)); err != nil {
					t.Fatal(err)
				}
			}
			m.left = steps
			g = m.start(t, "new")
			finished := !m.killed
			m.left = -1
			m.wantItems(t, g, 1, "a", "b", "c")
			if s := g.Status(t.Context()); s.Healthy != finished || finished != (s.Detail == "") {
				t.Fatalf("after %d steps: %+v", steps, s)
			}
			if finished && g.name != "new" {
				t.Fatalf("after %d steps: still in %s", steps, g.name)
			}

			for _, key := range []string{"a", "b"} {
				if err := g.Put(t.Context(), item(key, 2)); err != nil {
					t.Fatal(err)
				}
			}
			if err := g.Delete(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				g = m.start(t, then)
				m.wantItems(t, g, 2, "a", "b")
				if s := g.Status(t.Context()); !s.Healthy || s.Backend != then {
					t.Fatalf("after %d steps: %+v", steps, s)
				}
				for name, store := range m.stores {
					if name != then && len(store.items) > 0 {
						t.Fatalf("after %d steps %s still has %v", steps, name, store.items)
					}
				}
			}
			if finished {
				break
			}
		}
	}
}

// An item that cannot be read for now keeps the move from being made, and is said; one that is damaged for good does
// not.
func TestMoveWithUnreadableItem(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{{ErrUnavailable, "old"}, {ErrLost, "new"}} {
		m := newMachine(t)
		g := m.start(t, "old")
		if err := g.Put(t.Context(), item("a", 1)); err != nil {
			t.Fatal(err)
		}
		m.stores["old"].fail = func(op string) error {
			if op == "get" {
				return c.err
			}
			return nil
		}
		g = m.start(t, "new")
		if g.name != c.want {
			t.Errorf("%v: in %s", c.err, g.name)
		}
		if s := g.Status(t.Context()); s.Healthy != (c.want == "new") {
			t.Errorf("%v: %+v", c.err, s)
		}
		if c.want == "old" && len(m.stores["old"].items) != 1 {
			t.Error("the item is gone")
		}
	}
}

// A store that gives back something else than it was given does not become the one that counts.
func TestMoveIsVerified(t *testing.T) {
	m := newMachine(t)
	g := m.start(t, "old")
	if err := g.Put(t.Context(), item("a", 1)); err != nil {
		t.Fatal(err)
	}
	m.stores["new"].fail = func(op string) error {
		if op == "get" {
			m.stores["new"].items["a"] = item("a", 0)
		}
		return nil
	}
	g = m.start(t, "new")
	m.wantItems(t, g, 1, "a")
	if s := g.Status(t.Context()); g.name != "old" || s.Healthy || !strings.Contains(s.Detail, "something else") {
		t.Errorf("in %s: %+v", g.name, s)
	}
}

// "auto" decides once; a file that cannot be read stops the start and is left as it is; a store that does not exist
// here is an error at first, and no reason to stop later.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keystore", "backend")
	opened := func(backend string, user bool) (Status, error) {
		s, err := Open(t.Context(), Options{Backend: backend, Dir: dir, User: user})
		if err != nil {
			return Status{}, err
		}
		return s.Status(t.Context()), nil
	}
	for _, backend := range []string{"keyctl", "Sealed", "keychain"} {
		if s, err := opened(backend, false); err == nil {
			t.Errorf("%s: %+v", backend, s)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was decided on", backend)
		}
	}
	if s, err := opened("sealed", false); err != nil || s.Backend != "sealed" {
		t.Errorf("sealed: %+v, %v", s, err)
	}
	for _, user := range []bool{false, true} {
		if s, err := opened("auto", user); err != nil || s.Backend != "sealed" || !s.Healthy {
			t.Errorf("auto: %+v, %v", s, err)
		}
	}
	if s, err := opened("keychain", false); err != nil || s.Backend != "sealed" || s.Healthy || !strings.Contains(s.Detail, "cannot use keychain") {
		t.Errorf("keychain: %+v, %v", s, err)
	}
	for _, content := range []string{"", "{", "null", "{}", `{"backend":7}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := opened("auto", false); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %+v, %v", content, s, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != content {
			t.Errorf("%q became %q, %v", content, data, err)
		}
	}
}

func TestNatural(t *testing.T) {
	for _, c := range []struct {
		goos string
		user bool
		want string
	}{
		{"linux", false, "sealed"}, {"linux", true, "secret-service"}, {"freebsd", false, "sealed"},
		{"windows", false, "wincred"}, {"windows", true, "wincred"}, {"darwin", false, "keychain"}, {"darwin", true, "keychain"},
	} {
		if got := natural(c.goos, c.user); got != c.want {
			t.Errorf("natural(%q, %v) = %q", c.goos, c.user, got)
		}
	}
}

// Windows' limit holds whatever the store behind it would take, and is said before anything is replaced.
func TestLimit(t *testing.T) {
	r := &ring{max: maxCredential}
	err := r.put(Item{Key: "key", Secret: make([]byte, 2561)})
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "2560") {
		t.Errorf("put = %v", err)
	}
}
