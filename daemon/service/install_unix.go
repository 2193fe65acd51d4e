//go:build unix

package service

import (
	"errors"
	"io/fs"
	"os"

	"github.com/kardianos/service"
)

// replace installs the service in place of the one that the file at that path describes: kardianos/service writes
// none over another.
func replace(s service.Service, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.Install(); err != nil {
		os.Remove(path) // it leaves an unfinished one behind
		return err
	}
	return nil
}

// stop waits as long as systemctl and launchctl do; the unit and the plist say for how long.
func stop(o Options) error {
	s, err := controlled(o, nil)
	if err != nil {
		return err
	}
	return s.Stop()
}
