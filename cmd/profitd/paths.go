package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"

	"github.com/profitd/profitd/ipc"
)

// paths are where a service finds its things.
type paths struct {
	config string // config.toml
	state  string // the state directory
	socket string
}

// servicePaths are those of the service of this device.
func servicePaths() paths {
	config, state := "/etc/profitd/config.toml", "/var/lib/profitd"
	switch runtime.GOOS {
	case "darwin":
		config, state = "/Library/Application Support/profitd/etc/config.toml", "/Library/Application Support/profitd/state"
	case "windows":
		folder := filepath.Join(programData(), "profitd")
		config, state = filepath.Join(folder, "config.toml"), filepath.Join(folder, "state")
	}
	return paths{config, state, ipc.DefaultSocket()}
}

func programData() string {
	if folder := os.Getenv("ProgramData"); folder != "" {
		return folder
	}
	return `C:\ProgramData`
}

// userPaths are those of one person's own instance.
func userPaths() (paths, error) {
	socket, err := ipc.UserSocket()
	if err != nil {
		return paths{}, err
	}
	settings, err := os.UserConfigDir() // XDG, Application Support or AppData
	if err != nil {
		return paths{}, fmt.Errorf("cannot find this account's folder for settings: %w", err)
	}
	settings = filepath.Join(settings, "profitd")
	switch runtime.GOOS {
	case "darwin":
		return paths{filepath.Join(settings, "etc", "config.toml"), filepath.Join(settings, "state"), socket}, nil
	case "windows":
		local, err := os.UserCacheDir() // LocalAppData: does not roam to other devices
		return paths{filepath.Join(settings, "config.toml"), filepath.Join(local, "profitd", "state"), socket}, err
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the XDG specification: others are to be ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return paths{}, fmt.Errorf("cannot find this account's home: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return paths{filepath.Join(settings, "config.toml"), filepath.Join(state, "profitd"), socket}, nil
}

// ownAccount is the running account in the form that names it without doubt: uid:1000, or a SID.
func ownAccount() (string, error) {
	account, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("cannot tell which account this is: %w", err)
	}
	if runtime.GOOS == "windows" {
		return account.Uid, nil
	}
	return "uid:" + account.Uid, nil
}
