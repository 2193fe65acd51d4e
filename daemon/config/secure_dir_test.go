//go:build unix

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A new folder is the service's alone, whatever the umask; one that is there is brought to that.
func TestSecureDir(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, test := range []struct {
		opts DirOptions
		want fs.FileMode
	}{{DirOptions{}, 0o700}, {DirOptions{ReadOnly: true}, 0o750}} {
		dir := filepath.Join(t.TempDir(), "profitd")
		for range 2 {
			must(t, SecureDir(dir, test.opts))
			info, err := os.Stat(dir)
			must(t, err)
			if info.Mode() != fs.ModeDir|test.want {
				t.Errorf("%v instead of %v", info.Mode(), test.want)
			}
			must(t, os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600))
			must(t, os.Chmod(dir, 0o777))
		}
	}
	if err := SecureDir(filepath.Join(t.TempDir(), "no", "such"), DirOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("makes what lies above: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := SecureDir(file, DirOptions{TakeOver: true}); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file: %v", err)
	}
	if err := SecureDir(filepath.Join(t.TempDir(), "x"), DirOptions{Account: "nobody-like-that"}); err == nil {
		t.Error("found an account that does not exist")
	}
}

// What somebody else has made is left alone, or moved aside with all that is in it.
func TestSecureDirOfAnother(t *testing.T) {
	asRoot(t)
	const other = 12345
	above := t.TempDir()
	dir := filepath.Join(above, "profitd")
	for name, plant := range map[string]func() error{
		"folder": func() error { return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/config.toml", nil, 0o600)) },
		"link":   func() error { return os.Symlink("/nowhere", dir) },
		"file":   func() error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			must(t, plant())
			must(t, os.Lchown(dir, other, other))
			if err := SecureDir(dir, DirOptions{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "--take-over") {
				t.Errorf("%v", err)
			}
			if info, err := os.Lstat(dir); err != nil || info.Sys().(*syscall.Stat_t).Uid != other {
				t.Errorf("changed it: %v, %v", info, err)
			}
			must(t, SecureDir(dir, DirOptions{TakeOver: true}))
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("what was in it is in force: %v, %v", left, err)
			}
			aside, err := filepath.Glob(dir + ".untrusted-*")
			if err != nil || len(aside) != 1 {
				t.Fatalf("it is not aside: %v, %v", aside, err)
			}
			must(t, os.RemoveAll(aside[0]))
			must(t, os.Remove(dir))
		})
	}
}

// A folder of the service's is the service's, and its configuration root's.
func TestSecureDirForAccount(t *testing.T) {
	asRoot(t)
	for _, test := range []struct {
		readOnly bool
		want     uint32
	}{{false, 65534}, {true, 0}} {
		dir := filepath.Join(t.TempDir(), "profitd")
		for range 2 {
			must(t, SecureDir(dir, DirOptions{Account: "nobody", ReadOnly: test.readOnly}))
			info, err := os.Stat(dir)
			must(t, err)
			if got := info.Sys().(*syscall.Stat_t).Uid; got != test.want {
				t.Errorf("read only %v: belongs to %d", test.readOnly, got)
			}
			must(t, os.Chown(dir, 65534, -1))
		}
	}
}
