package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrForeign is what SecureDir returns for a folder that somebody else has made.
var ErrForeign = errors.New("another account made it, and may have put things into it")

// DirOptions are options of SecureDir; zero values work.
type DirOptions struct {
	// Account is the one that the service runs as: a name, on Windows also a SID. Empty: the running account.
	Account string
	// ReadOnly keeps the service from writing: for its configuration.
	ReadOnly bool
	// TakeOver moves a folder of somebody else's aside instead of failing: its name gets ".untrusted-" and the time.
	TakeOver bool
}

// SecureDir makes the folder at path, but none above it, such that nobody but administrators and the service can use
// it, from its first moment on. One that is there already gets the same rights if it is an administrator's or the
// service's, and is an ErrForeign otherwise.
//
// On Windows SYSTEM and Administrators may do everything there, and the service's account everything or, with
// ReadOnly, read; what is made in it inherits that, and nothing is inherited from above. Elsewhere it is the
// service's with mode 0700 or, with ReadOnly, the running account's, and the service's group's, with mode 0750.
func SecureDir(path string, opts DirOptions) error {
	if err := secureDir(path, opts); err != nil {
		return fmt.Errorf("cannot make %s safe: %w", path, err)
	}
	return nil
}

// makeOrMend is SecureDir, with what the system does differently.
func makeOrMend(path string, opts DirOptions, create func() error, ours func() (bool, error), mend func() error) error {
	err := create()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	isOurs, err := ours()
	switch {
	case err != nil:
		return err
	case isOurs && !info.IsDir():
		return errors.New("it is no folder. Move it away")
	case isOurs:
		return mend()
	case !opts.TakeOver:
		return fmt.Errorf("%w. Look at what is in it, then move it away, or have it moved aside: profitd install --take-over", ErrForeign)
	}
	if err := os.Rename(path, path+time.Now().Format(".untrusted-20060102-150405")); err != nil {
		return fmt.Errorf("cannot move it aside: %w. Restart the device, so that nobody is using it", err)
	}
	return create()
}
