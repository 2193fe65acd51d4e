//go:build unix

package keystore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

// Records, their directory and the key file are for the service's account alone, from the moment they exist.
func TestRights(t *testing.T) {
	p := newPlaces(t)
	item := keystoretest.Token(1)
	must(t, p.open(t).Put(t.Context(), item))
	for path, want := range map[string]os.FileMode{
		record(p.state, item.Key):          0o600,
		filepath.Join(p.state, "keystore"): 0o700,
		p.file:                             0o600,
	} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s: %v", path, info.Mode())
		}
	}
}

// A key file that others can read or own is refused, with the command that mends it, and works without a restart
// once that was given.
func TestKeyFileOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend func(path string) error
		says        string
	}{
		"mode":  {func(path string) error { return os.Chmod(path, 0o640) }, func(path string) error { return os.Chmod(path, 0o600) }, "chmod 600 '"},
		"owner": {func(path string) error { return os.Chown(path, 12345, -1) }, func(path string) error { return os.Chown(path, 0, -1) }, "chown 0 '"},
		"a link": {
			func(path string) error {
				return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
			},
			func(path string) error { return os.Rename(path+".real", path) }, "put the key itself in its place",
		},
		"cut short": {func(path string) error { return os.Truncate(path, 31) }, nil, "put the key back from a copy"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "owner" && os.Getuid() != 0 {
				t.Skip("only root can give files away")
			}
			for _, stored := range []bool{true, false} {
				p := newPlaces(t)
				s := p.open(t)
				if stored {
					must(t, s.Put(t.Context(), keystoretest.Token(1)))
				}
				must(t, c.spoil(p.file))
				s = p.open(t)
				if err := s.Probe(t.Context()); !errors.Is(err, keystore.ErrUnavailable) {
					t.Errorf("Probe = %v", err)
				}
				if stored {
					wantGetErr(t, s, keystoretest.Token(1).Key, keystore.ErrUnavailable)
				}
				wantStatus(t, s, false, "no key at hand", c.says)
				if c.mend == nil {
					continue
				}
				must(t, c.mend(p.file))
				must(t, s.Probe(t.Context()))
				if stored {
					wantItem(t, s, keystoretest.Token(1))
				}
				wantStatus(t, s, true, "key file", "")
			}
		})
	}
}
