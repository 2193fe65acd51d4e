package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxFile  = 1 << 20 // bytes of a file: some 12,000 users
	maxLinks = 40      // symbolic links on the way to a file, as in Linux

	linkModes = fs.ModeSymlink | fs.ModeIrregular // what Go calls a junction of Windows is irregular
)

// Options says how files are to be read. The zero value is right for the service.
type Options struct {
	// Dir is the folder whose config.d is read and at which relative paths start; empty: that of the file. So
	// `profitd check FILE` tries a file before it is installed.
	Dir string
	// SkipRights leaves out who may read and write the files: for a check of what they say alone.
	SkipRights bool
	// Owner is the account besides root that may own and write the files. 0: the running account.
	Owner int
	// Group is the group besides root's that may read files with keys. 0: the running account's own private group,
	// or, for root, the one named profitd.
	Group int
}

// source is where files come from: the disk, or what a snapshot kept.
type source interface {
	// read gives a file's content; private: it may hold keys, and only the service may be able to read it.
	read(name string, private bool) ([]byte, error)
	// list names the *.toml files of a folder in order; nil if there is no such folder.
	list(dir string) ([]string, error)
}

// disk reads files and remembers what it found, so that a watcher can find out whether that changed.
type disk struct {
	rights  *rights // nil: not checked
	folders map[string]error
	seen    []lookup
}

// lookup is one answer of the disk. sum is over what was found, or over the error.
type lookup struct {
	name          string
	list, private bool
	sum           [sha256.Size]byte
}

// fileError is a file or folder that cannot be used. Its text goes behind the path.
type fileError struct {
	path, reason string
	cause        error // nil: of our own
}

func (e *fileError) Error() string { return e.path + " " + e.reason }
func (e *fileError) Unwrap() error { return e.cause }

func newDisk(opts Options) *disk {
	d := &disk{folders: map[string]error{}}
	if !opts.SkipRights {
		d.rights = newRights(opts)
	}
	return d
}

func (d *disk) read(name string, private bool) ([]byte, error) {
	data, err := d.content(name, private)
	d.remember(lookup{name: name, private: private}, data, err)
	return data, err
}

func (d *disk) list(dir string) ([]string, error) {
	names, err := d.names(dir)
	d.remember(lookup{name: dir, list: true}, []byte(strings.Join(names, "\x00")), err)
	return names, err
}

func (d *disk) remember(l lookup, found []byte, err error) {
	if err != nil {
		found = []byte("error: " + err.Error())
	}
	l.sum = sha256.Sum256(found)
	d.seen = append(d.seen, l)
}

func (d *disk) content(name string, private bool) ([]byte, error) {
	path, err := d.resolve(name)
	if err != nil {
		return nil, err
	}
	file, err := openFile(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, cannotRead(path, err)
	case !info.Mode().IsRegular():
		return nil, &fileError{path, "cannot be read: it is no file but " + kind(info.Mode()), nil}
	}
	if err := d.rights.check(path, info, private); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, cannotRead(path, err)
	case len(data) > maxFile:
		return nil, &fileError{path, "cannot be read: it is larger than 1 MiB", nil}
	}
	return data, nil
}

func (d *disk) names(dir string) ([]string, error) {
	path, err := d.resolve(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".toml") && !strings.HasPrefix(name, ".") {
			names = append(names, filepath.Join(dir, name))
		}
	}
	return names, nil
}

// resolve follows name to what it stands for, and checks each folder and link on the way.
func (d *disk) resolve(name string) (string, error) {
	path, err := walk(name, func(path string, info fs.FileInfo) error {
		if info == nil || !info.IsDir() && info.Mode()&linkModes == 0 {
			return nil // a file is checked once it is open
		}
		if _, known := d.folders[path]; !known {
			d.folders[path] = d.rights.check(path, info, false)
		}
		return d.folders[path]
	})
	if err != nil {
		return "", cannotRead(path, err)
	}
	return path, nil
}

// walk goes from the root to what path stands for, symbolic links followed, and shows visit each folder, link and
// file on the way; info is nil for what is not there. It returns the path without links, or where it had to stop.
func walk(path string, visit func(path string, info fs.FileInfo) error) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return path, err
	}
	at, rest := split(path)
	info, err := os.Lstat(at)
	for links := 0; ; info, err = os.Lstat(at) {
		if err != nil {
			info = nil
		}
		if refused := visit(at, info); refused != nil || err != nil {
			return at, cmp.Or(refused, err)
		}
		if info.Mode()&linkModes != 0 {
			target, err := os.Readlink(at)
			if links++; err == nil && links > maxLinks {
				err = errors.New("too many symbolic links")
			}
			if err != nil {
				return at, err
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			root, more := split(filepath.Clean(target))
			at, rest = root, append(more, rest...)
			continue
		}
		if len(rest) == 0 {
			return at, nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// split takes an absolute, clean path apart.
func split(path string) (root string, rest []string) {
	root = filepath.VolumeName(path) + string(filepath.Separator)
	if path = strings.TrimPrefix(path, root); path != "" {
		rest = strings.Split(path, string(filepath.Separator))
	}
	return root, rest
}

// cannotRead says why the system does not give a file, unless the error does so already.
func cannotRead(path string, err error) error {
	var known *fileError
	var at *fs.PathError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &at):
		err = at.Err // which repeats no path
	}
	reason := "cannot be read: " + err.Error()
	if errors.Is(err, fs.ErrPermission) {
		reason += ": the account that runs profitd must be allowed to"
	}
	return &fileError{path, reason, err}
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
