package sessionbus

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// A bus is taken where its socket is, and from nowhere else.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "bus")
	for _, runtimeDir := range []string{"", dir, filepath.Join(dir, "missing")} {
		if got := find(runtimeDir); got != "disabled:" {
			t.Errorf("find(%q) = %q without a socket", runtimeDir, got)
		}
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := find(dir); got != "disabled:" {
		t.Errorf("find = %q with an ordinary file", got)
	}
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := find(dir), "unix:path="+socket; got != want {
		t.Errorf("find = %q, want %q", got, want)
	}
}
