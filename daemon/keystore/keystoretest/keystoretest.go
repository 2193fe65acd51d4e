// Package keystoretest holds what every keystore.Store has to do, as one suite of tests.
//
// A kind of store passes it with
//
//	keystoretest.Run(t, func(t *testing.T) keystoretest.Fixture { return keystoretest.Fixture{Store: …} })
//
// The hooks of Fixture let the suite do to a store what accidents do; a store in which such an accident cannot be
// staged leaves the hook nil.
package keystoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
)

// Fixture is an empty store, and what may happen to it.
type Fixture struct {
	Store keystore.Store
	// Corrupt damages the item of that key.
	Corrupt func(key string)
	// Swap puts each of two items in the other's place.
	Swap func(a, b string)
	// HideKey takes away the key of everything stored so far and returns the store as it is after a restart.
	HideKey func() keystore.Store
	// ShowKey brings that key back, and returns the store as it is after a restart.
	ShowKey func() keystore.Store
	// Lock makes the store ask for a person, as a locked keyring does; Unlock undoes that.
	Lock, Unlock func()
}

// Run tests a kind of store; open gives an empty one each time.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f Fixture)
	}{
		{"put, get, replace, delete", roundTrip},
		{"any characters", anyCharacters},
		{"bad keys", badKeys},
		{"sizes", sizes},
		{"list", list},
		{"concurrent use", concurrentUse},
		{"deadlines", deadlines},
		{"probe and status", probeAndStatus},
		{"sealer", sealer},
		{"damaged", damaged},
		{"swapped", swapped},
		{"key not at hand", keyNotAtHand},
		{"key given up", keyGivenUp},
		{"locked", locked},
		{"closed", closed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Token returns an item whose secret looks like a Profit token, for the identity number n.
func Token(n int) keystore.Item {
	return keystore.Item{
		Key:        fmt.Sprintf("%064x", n),
		Label:      fmt.Sprintf("Payroll desktop, 12345.user%d", n),
		Generation: uint64(n),
		Secret:     fmt.Appendf(nil, "<token><version>1</version><data>%064X</data></token>", n),
	}
}

// An item comes back as it was stored, with its generation, and replaced by a later one; what is not there is
// ErrNotFound, and deleting it is no error.
func roundTrip(t *testing.T, f Fixture) {
	ctx := t.Context()
	item := Token(1)
	wantErr(t, f.Store, item.Key, keystore.ErrNotFound)
	mustPut(t, f.Store, item)
	mustGet(t, f.Store, item)

	item.Generation, item.Label, item.Secret = 1<<63+7, "renamed", []byte("another")
	mustPut(t, f.Store, item)
	mustGet(t, f.Store, item)
	wantErr(t, f.Store, Token(2).Key, keystore.ErrNotFound)

	for range 2 {
		if err := f.Store.Delete(ctx, item.Key); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantErr(t, f.Store, item.Key, keystore.ErrNotFound)
	}
}

// Profit allows nearly any character in a user's name, and people see labels; keys that differ only in case, or that
// look like paths, are different keys all the same.
func anyCharacters(t *testing.T, f Fixture) {
	var items []keystore.Item
	for i, text := range []string{
		"a", "A", "..", "/", "../up", "%2F", "_2f", "a/b\\c:d", "CON", "nul.sealed", " spaced ", "tab\tline\nend", "é", "e\u0301", "用户", "\U0001F511", "quote\"'`$(x)",
		"[a-z]*?", "jan@example.com", "-rf", "\x7f", strings.Repeat("é", 36),
	} {
		items = append(items, keystore.Item{Key: text, Label: text + " label", Generation: uint64(i), Secret: []byte(text + " secret")})
	}
	for _, item := range items {
		mustPut(t, f.Store, item)
	}
	for _, item := range items {
		mustGet(t, f.Store, item)
	}
	wantList(t, f.Store, items...)
	for _, item := range items {
		if err := f.Store.Delete(t.Context(), item.Key); err != nil {
			t.Fatalf("Delete(%q): %v", item.Key, err)
		}
	}
	wantList(t, f.Store)
}

// A key that no store could keep is refused by every call, as a mistake and not as a missing item.
func badKeys(t *testing.T, f Fixture) {
	ctx := t.Context()
	for _, key := range []string{"", strings.Repeat("x", 73), "\xff", "nul\x00"} {
		_, getErr := f.Store.Get(ctx, key)
		for _, err := range []error{f.Store.Put(ctx, keystore.Item{Key: key}), getErr, f.Store.Delete(ctx, key)} {
			if err == nil || errors.Is(err, keystore.ErrNotFound) || errors.Is(err, keystore.ErrUnavailable) {
				t.Errorf("key %q: %v", key, err)
			}
		}
	}
}

// Credential Manager holds 2,560 bytes. A store either keeps what it is given or says ErrTooLarge and keeps what it
// had; it never keeps a part.
func sizes(t *testing.T, f Fixture) {
	small := Token(1)
	mustPut(t, f.Store, small)
	empty := keystore.Item{Key: "empty"}
	mustPut(t, f.Store, empty)
	mustGet(t, f.Store, empty)

	large := Token(1)
	large.Secret = bytes.Repeat([]byte{0, 1, 2, 250, 251, 252, 253, 254, 255}, 2561/9+1)[:2561]
	switch err := f.Store.Put(t.Context(), large); {
	case err == nil:
		mustGet(t, f.Store, large)
	case errors.Is(err, keystore.ErrTooLarge):
		mustGet(t, f.Store, small)
	default:
		t.Fatalf("Put of 2,561 bytes: %v", err)
	}
}

func list(t *testing.T, f Fixture) {
	wantList(t, f.Store)
	var items []keystore.Item
	for n := range 20 {
		items = append(items, Token(n))
		mustPut(t, f.Store, items[n])
	}
	wantList(t, f.Store, items...)
}

// Many goroutines on few keys: each sees an item that somebody put, whole.
func concurrentUse(t *testing.T, f Fixture) {
	ctx := t.Context()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 10 {
				item := Token(worker % 3)
				item.Generation = uint64(worker*10 + i)
				item.Secret = fmt.Appendf(nil, "secret of %d", item.Generation)
				if err := f.Store.Put(ctx, item); err != nil {
					t.Errorf("Put: %v", err)
				}
				got, err := f.Store.Get(ctx, item.Key)
				if err != nil || string(got.Secret) != fmt.Sprintf("secret of %d", got.Generation) {
					t.Errorf("Get = %v, %v", got, err)
				}
				if _, err := f.Store.List(ctx); err != nil {
					t.Errorf("List: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// A call whose context has ended does not touch the store, and comes back at once.
func deadlines(t *testing.T, f Fixture) {
	item := Token(1)
	mustPut(t, f.Store, item)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		changed := item
		changed.Secret = []byte("changed")
		calls := map[string]error{
			"Put":    f.Store.Put(ctx, changed),
			"Delete": f.Store.Delete(ctx, item.Key),
			"Probe":  f.Store.Probe(ctx),
		}
		_, calls["Get"] = f.Store.Get(ctx, item.Key)
		_, calls["List"] = f.Store.List(ctx)
		for name, err := range calls {
			if !errors.Is(err, keystore.ErrUnavailable) || !errors.Is(err, ctx.Err()) {
				t.Errorf("%s = %v, want ErrUnavailable because of %v", name, err, ctx.Err())
			}
		}
		if s := f.Store.Status(ctx); s.Healthy || s.Backend == "" {
			t.Errorf("Status = %+v", s)
		}
	}
	mustGet(t, f.Store, item)
}

// A probe leaves nothing behind, and a healthy store says where its secrets lie.
func probeAndStatus(t *testing.T, f Fixture) {
	for range 2 {
		if err := f.Store.Probe(t.Context()); err != nil {
			t.Fatalf("Probe: %v", err)
		}
	}
	wantList(t, f.Store)
	if s := f.Store.Status(t.Context()); !s.Healthy || s.Backend == "" || s.Key == "" {
		t.Errorf("Status = %+v", s)
	}
}

// What a Sealer sealed opens under its name alone, and no part of it can be changed; its key is no item of the list.
func sealer(t *testing.T, f Fixture) {
	s := f.Store.Sealer()
	plain := bytes.Repeat([]byte("connectors = secret\n"), 5000)
	sealed, err := s.Seal("config", plain)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the plaintext shows")
	}
	again := f.Store.Sealer()
	if got, err := again.Open("config", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Open: %v", err)
	}
	if _, err := again.Open("other", sealed); !errors.Is(err, keystore.ErrLost) {
		t.Errorf("under another name: %v", err)
	}
	sealed[len(sealed)/2] ^= 1
	if _, err := again.Open("config", sealed); !errors.Is(err, keystore.ErrLost) {
		t.Errorf("changed: %v", err)
	}
	wantList(t, f.Store)
}

// A damaged item is lost, and nothing else: it is listed, can be replaced and deleted, and its neighbour is well.
func damaged(t *testing.T, f Fixture) {
	if f.Corrupt == nil {
		t.Skip("this store has no hook Corrupt")
	}
	mustPut(t, f.Store, Token(1))
	mustPut(t, f.Store, Token(2))
	f.Corrupt(Token(1).Key)
	wantErr(t, f.Store, Token(1).Key, keystore.ErrLost)
	mustGet(t, f.Store, Token(2))
	wantList(t, f.Store, Token(1), Token(2))
	mustPut(t, f.Store, Token(1))
	mustGet(t, f.Store, Token(1))
	f.Corrupt(Token(1).Key)
	if err := f.Store.Delete(t.Context(), Token(1).Key); err != nil {
		t.Errorf("Delete: %v", err)
	}
	wantErr(t, f.Store, Token(1).Key, keystore.ErrNotFound)
}

// Nobody gets another's token because two items have changed places.
func swapped(t *testing.T, f Fixture) {
	if f.Swap == nil {
		t.Skip("this store has no hook Swap")
	}
	mustPut(t, f.Store, Token(1))
	mustPut(t, f.Store, Token(2))
	f.Swap(Token(1).Key, Token(2).Key)
	wantErr(t, f.Store, Token(1).Key, keystore.ErrLost)
	wantErr(t, f.Store, Token(2).Key, keystore.ErrLost)
	f.Swap(Token(1).Key, Token(2).Key)
	mustGet(t, f.Store, Token(1))
	mustGet(t, f.Store, Token(2))
}

// A key that is only not at hand loses nothing: the items stay, unreadable and not to be overwritten, and are there
// again when the key is.
func keyNotAtHand(t *testing.T, f Fixture) {
	if f.HideKey == nil {
		t.Skip("this store has no hook HideKey")
	}
	mustPut(t, f.Store, Token(1))
	sealed, err := f.Store.Sealer().Seal("config", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	hidden := f.HideKey()
	wantErr(t, hidden, Token(1).Key, keystore.ErrUnavailable)
	wantErr(t, hidden, Token(2).Key, keystore.ErrNotFound)
	if err := hidden.Put(t.Context(), Token(1)); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("Put over an item whose key is not at hand: %v", err)
	}
	if _, err := hidden.Sealer().Open("config", sealed); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("opening what is sealed by a key that is not at hand: %v", err)
	}
	if s := hidden.Status(t.Context()); s.Healthy || s.Detail == "" {
		t.Errorf("Status = %+v", s)
	}
	shown := f.ShowKey()
	mustGet(t, shown, Token(1))
	if got, err := shown.Sealer().Open("config", sealed); err != nil || string(got) != "plain" {
		t.Errorf("Open: %v", err)
	}
	if s := shown.Status(t.Context()); !s.Healthy {
		t.Errorf("Status = %+v", s)
	}
}

// A key that is lost for good is given up by deleting what it sealed; then the store works again.
func keyGivenUp(t *testing.T, f Fixture) {
	if f.HideKey == nil {
		t.Skip("this store has no hook HideKey")
	}
	mustPut(t, f.Store, Token(1))
	mustPut(t, f.Store, Token(2))
	hidden := f.HideKey()
	for _, n := range []int{1, 2} {
		if err := hidden.Delete(t.Context(), Token(n).Key); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	if err := hidden.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
	mustPut(t, hidden, Token(1))
	mustGet(t, hidden, Token(1))
	if s := hidden.Status(t.Context()); !s.Healthy {
		t.Errorf("Status = %+v", s)
	}
}

// A locked keyring is unavailable within the deadline, for every call, and is itself again once it is unlocked.
// In particular, that nothing can be found in it does not mean that nothing is there.
func locked(t *testing.T, f Fixture) {
	if f.Lock == nil {
		t.Skip("this store has no hook Lock")
	}
	mustPut(t, f.Store, Token(1))
	f.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	began := time.Now()
	_, listErr := f.Store.List(ctx)
	wantErr(t, f.Store, Token(1).Key, keystore.ErrUnavailable)
	wantErr(t, f.Store, Token(2).Key, keystore.ErrUnavailable)
	for _, err := range []error{f.Store.Put(ctx, Token(1)), f.Store.Delete(ctx, Token(1).Key), f.Store.Probe(ctx), listErr} {
		if !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("locked: %v", err)
		}
	}
	if s := f.Store.Status(ctx); s.Healthy || s.Detail == "" {
		t.Errorf("Status = %+v", s)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the calls took %v", took)
	}
	f.Unlock()
	mustGet(t, f.Store, Token(1))
	mustPut(t, f.Store, Token(2))
}

func closed(t *testing.T, f Fixture) {
	if err := f.Store.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, f.Store, Token(1).Key, keystore.ErrUnavailable)
}

func mustPut(t *testing.T, s keystore.Store, item keystore.Item) {
	t.Helper()
	if err := s.Put(t.Context(), item); err != nil {
		t.Fatalf("Put(%v): %v", item, err)
	}
}

func mustGet(t *testing.T, s keystore.Store, want keystore.Item) {
	t.Helper()
	got, err := s.Get(t.Context(), want.Key)
	if err != nil {
		t.Fatalf("Get(%q): %v", want.Key, err)
	}
	if got.Key != want.Key || got.Label != want.Label || got.Generation != want.Generation || !bytes.Equal(got.Secret, want.Secret) {
		t.Fatalf("Get = %v with %d bytes of secret, want %v with %d", got, len(got.Secret), want, len(want.Secret))
	}
}

func wantErr(t *testing.T, s keystore.Store, key string, want error) {
	t.Helper()
	item, err := s.Get(t.Context(), key)
	if !errors.Is(err, want) {
		t.Fatalf("Get(%q) = %v, %v; want the error %q", key, item, err, want)
	}
	for _, other := range []error{keystore.ErrNotFound, keystore.ErrLost, keystore.ErrUnavailable, keystore.ErrTooLarge} {
		if other != want && errors.Is(err, other) {
			t.Fatalf("Get(%q): %v is two errors in one", key, err)
		}
	}
}

func wantList(t *testing.T, s keystore.Store, items ...keystore.Item) {
	t.Helper()
	got, err := s.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	var want []string
	for _, item := range items {
		want = append(want, item.Key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("List = %q, want %q", got, want)
	}
}
