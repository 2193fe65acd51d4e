package ipc

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
)

// UserSocket is where one person's own instance (profitd run --user) listens: $XDG_RUNTIME_DIR/profitd/profitd.sock,
// on macOS $TMPDIR/profitd/profitd.sock, which is a folder of that account's alone, on Windows a pipe with the
// account's SID in its name. The error says what the system lacks.
func UserSocket() (string, error) {
	switch runtime.GOOS {
	case "windows":
		account, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("cannot tell which account this is: %w", err)
		}
		return systemSocket + "-" + account.Uid, nil
	case "darwin":
		return filepath.Join(os.TempDir(), "profitd", "profitd.sock"), nil
	}
	directory := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(directory) {
		return "", errors.New("cannot find this account's runtime directory: XDG_RUNTIME_DIR is not set. Log in to a session, or name a socket with --socket")
	}
	return filepath.Join(directory, "profitd", "profitd.sock"), nil
}
