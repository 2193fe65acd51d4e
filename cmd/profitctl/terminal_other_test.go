//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// cmdTerminal is the script command terminal; scripts that need it begin with [!linux] skip.
func cmdTerminal(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("there are no terminals for tests on this system yet")
}
