package keystore_test

import (
	"os"
	"syscall"
	"testing"
)

// smallDisk makes dir a disk of 256 KiB of its own.
func smallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount a small disk: %v", err)
		}
		t.Skipf("cannot mount a small disk (needs root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
}
