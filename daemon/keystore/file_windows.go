package keystore

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// rename replaces a file. NTFS would keep it whole by itself, but tell that it is done before it is on disk.
func rename(from, to string) error {
	source, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	target, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	err = windows.MoveFileEx(source, target, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncDir has nothing to do: rename has done it, and a directory cannot be flushed.
func syncDir(string) error { return nil }

// checkOwner has nothing to look at: the access list of the state directory (config.SecureDir) keeps others out.
func checkOwner(string, fs.FileInfo) error { return nil }
