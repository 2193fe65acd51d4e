package keystore

import (
	"os"
	"path/filepath"
)

// tempPattern names files that are being written. Open deletes those that a crash left.
const tempPattern = ".keystore-*.tmp"

// writeFile replaces dir/name by data, durably: after a crash at any moment the old file or the new one is there,
// whole. Mode 0600.
func writeFile(dir, name string, data []byte) error {
	temp, err := writeTemp(dir, data)
	if err != nil {
		return err
	}
	if err := rename(temp, filepath.Join(dir, name)); err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(dir)
}

// writeTemp writes data to a new file in dir, mode 0600, that is on disk when it returns.
func writeTemp(dir string, data []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// removeTemps deletes what a crash left half-written.
func removeTemps(dir string) error {
	names, err := fileNames(dir)
	for _, name := range names {
		if ours, _ := filepath.Match(tempPattern, name); ours {
			os.Remove(filepath.Join(dir, name))
		}
	}
	return err
}

// fileNames lists a directory, unsorted.
func fileNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
