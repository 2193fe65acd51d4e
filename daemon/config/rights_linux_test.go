package config

import (
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// A file that the service may not read: root may read anything, so a thread of this test gives that up.
func TestUnreadable(t *testing.T) {
	asRoot(t)
	dir := folder(t, map[string]string{"config.toml": payroll})
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		syscall.Setfsuid(12345)
		_, err := Load(filepath.Join(dir, "config.toml"), Options{})
		failed <- err
	}()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "permission denied: the account that runs profitd must be allowed to") {
		t.Errorf("got %v", err)
	}
}
