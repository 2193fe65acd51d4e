//go:build !linux

package keystore_test

import "testing"

func smallDisk(t *testing.T, _ string) { t.Skip("a small disk can only be mounted on Linux") }
