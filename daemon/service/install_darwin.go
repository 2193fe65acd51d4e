package service

import (
	"fmt"
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
	return replace(s, filepath.Join("/Library/LaunchDaemons", o.Name+".plist"))
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

// lookFor is the next step when starting or stopping has failed.
func lookFor(o Options) string {
	return fmt.Sprintf("see `launchctl print system/%s` and /Library/Logs/profitd.log", o.Name)
}
