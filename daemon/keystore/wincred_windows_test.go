package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/99designs/keyring"
	"github.com/danieljoos/wincred"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

var prefixes atomic.Int64

// openWincred opens Credential Manager with a prefix that nobody uses, and removes its items when the test ends.
func openWincred(t *testing.T) (store keystore.Store, ring keyring.Keyring, prefix string) {
	t.Helper()
	prefix = fmt.Sprintf("test%d-%d", os.Getpid(), prefixes.Add(1)) // as short as the real one
	store, ring, err := keystore.OpenWincred(prefix)
	must(t, err)
	t.Cleanup(func() {
		left, err := wincred.FilteredList(prefix + "*")
		if err != nil && !errors.Is(err, wincred.ErrElementNotFound) {
			t.Error(err)
		}
		for _, found := range left {
			(&wincred.GenericCredential{Credential: *found}).Delete()
		}
	})
	return store, ring, prefix
}

func TestWincred(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Fixture {
		store, ring, _ := openWincred(t)
		read := func(key string) keyring.Item {
			item, err := ring.Get("profitd/" + key)
			must(t, err)
			return item
		}
		return keystoretest.Fixture{
			Store: store,
			Corrupt: func(key string) {
				item := read(key)
				item.Data = item.Data[:5]
				must(t, ring.Set(item))
			},
			Swap: func(a, b string) {
				first, second := read(a), read(b)
				first.Key, second.Key = second.Key, first.Key
				must(t, ring.Set(first))
				must(t, ring.Set(second))
			},
		}
	})
}

// The last byte that fits, fits; the next is refused before anything is replaced.
func TestWincredLimit(t *testing.T) {
	store, _, _ := openWincred(t)
	item := keystore.Item{Key: "key", Label: "label"}
	item.Secret = bytes.Repeat([]byte{0xa5}, keystore.MaxCredential-keystore.EncodedSize(item))
	must(t, store.Put(t.Context(), item))
	larger := item
	larger.Secret = append(bytes.Clone(item.Secret), 0)
	if err := store.Put(t.Context(), larger); !errors.Is(err, keystore.ErrTooLarge) {
		t.Errorf("2,561 bytes: %v", err)
	}
	got, err := store.Get(t.Context(), "key")
	if err != nil || !bytes.Equal(got.Secret, item.Secret) {
		t.Errorf("%v, %v", got, err)
	}
	if status := store.Status(t.Context()); !status.Healthy || status.Backend != "wincred" || !strings.Contains(status.Key, "Credential Manager") {
		t.Errorf("%+v", status)
	}
}

// Another process of the account finds what this one stored, and this one what that one changed.
func TestWincredAcrossProcesses(t *testing.T) {
	store, _, prefix := openWincred(t)
	item := keystoretest.Token(1)
	must(t, store.Put(t.Context(), item))
	child := exec.Command(os.Args[0], "-test.run=^TestWincredInAnotherProcess$", "-test.v")
	child.Env = append(os.Environ(), "KEYSTORE_TEST_PREFIX="+prefix)
	if output, err := child.CombinedOutput(); err != nil || !bytes.Contains(output, []byte("--- PASS")) {
		t.Fatalf("%v: %s", err, output)
	}
	got, err := store.Get(t.Context(), item.Key)
	if err != nil || got.Generation != item.Generation+1 || !bytes.Equal(got.Secret, item.Secret) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestWincredInAnotherProcess is the child of the test above.
func TestWincredInAnotherProcess(t *testing.T) {
	prefix := os.Getenv("KEYSTORE_TEST_PREFIX")
	if prefix == "" {
		t.Skip("runs as the child of TestWincredAcrossProcesses")
	}
	store, _, err := keystore.OpenWincred(prefix)
	must(t, err)
	keys, err := store.List(context.Background())
	must(t, err)
	if want := keystoretest.Token(1).Key; len(keys) != 1 || keys[0] != want {
		t.Fatalf("%q instead of %q", keys, want)
	}
	item, err := store.Get(t.Context(), keys[0])
	must(t, err)
	item.Generation++
	must(t, store.Put(t.Context(), item))
}
