package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kardianos/service"
)

func install(o Options) error {
	text, err := plistTemplate()
	if err != nil {
		return err
	}
	s, err := controlled(o, service.KeyValue{"LaunchdConfig": text})
	if err != nil {
		return err
	}
	// kardianos/service writes nothing in place of another plist.
	path := filepath.Join("/Library/LaunchDaemons", o.Name+".plist")
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.Install(); err != nil {
		os.Remove(path) // it leaves an unfinished one behind
		return err
	}
	return nil
}

// accountOf is root: the System keychain is root's.
func accountOf(Options) (string, error) { return "root", nil }

func uninstall(o Options) error {
	s, err := controlled(o, nil)
	if err != nil {
		return err
	}
	return s.Uninstall()
}

func stop(o Options) error {
	s, err := controlled(o, nil)
	if err != nil {
		return err
	}
	return s.Stop() // launchctl waits; the plist says for how long
}

// lookFor is the next step when starting or stopping has failed.
func lookFor(o Options) string {
	return fmt.Sprintf("see `launchctl print system/%s` and /Library/Logs/profitd.log", o.Name)
}
