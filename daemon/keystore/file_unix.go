//go:build unix

package keystore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// rename replaces a file; it is on disk after syncDir.
func rename(from, to string) error { return os.Rename(from, to) }

// syncDir makes a rename, a link or a removal in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// checkOwner wants the file to be the service's own, and closed to everybody else.
func checkOwner(path string, info fs.FileInfo) error {
	uid := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != uid {
		return fmt.Errorf("cannot use %s: it belongs to uid %d; if the key in it is yours: chown %d '%s'", path, stat.Uid, uid, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("cannot use %s: others may open it (mode %04o); chmod 600 '%s'", path, mode, path)
	}
	return nil
}
