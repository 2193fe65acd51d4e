package keystore

import (
	"os"
	"path/filepath"
	"testing"
)

// A key file that has come into being since we looked is never replaced.
func TestCreateReplacesNothing(t *testing.T) {
	p := newKeyPlaces(t.TempDir(), "")
	if err := os.WriteFile(p.file, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.create(); err == nil {
		t.Error("a second key was made")
	}
	if data, err := os.ReadFile(p.file); err != nil || string(data) != "theirs" {
		t.Errorf("the key file holds %q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Dir(p.file)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
