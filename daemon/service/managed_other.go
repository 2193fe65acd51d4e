//go:build !windows

package service

// runManaged says that nobody but the usual signals asks this process to stop: systemd and launchd need no more.
func runManaged(Options, Program) (managed bool, err error) { return false, nil }
