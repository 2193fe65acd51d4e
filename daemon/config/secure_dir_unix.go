//go:build unix

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

func secureDir(path string, opts DirOptions) error {
	owner, group, mode := os.Geteuid(), -1, fs.FileMode(0o700)
	if opts.Account != "" {
		account, err := user.Lookup(opts.Account)
		if err != nil {
			return fmt.Errorf("cannot find the account: %w", err)
		}
		if owner, err = strconv.Atoi(account.Uid); err != nil {
			return err
		}
		if group, err = strconv.Atoi(account.Gid); err != nil {
			return err
		}
	}
	service := owner
	if opts.ReadOnly {
		owner, mode = os.Geteuid(), 0o750
	}
	mend := func() error {
		return errors.Join(os.Chmod(path, mode), os.Chown(path, owner, group))
	}
	create := func() error {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		return mend()
	}
	ours := func() (bool, error) {
		info, err := os.Lstat(path)
		if err != nil {
			return false, err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return false, nil
		}
		uid := int(stat.Uid)
		return uid == 0 || uid == os.Geteuid() || uid == service, nil
	}
	return makeOrMend(path, opts, create, ours, mend)
}
