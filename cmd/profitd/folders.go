package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/profitd/profitd/daemon/config"
)

// initialConfig is the configuration of a service that has just been installed. The packages install it too.
//
//go:embed config.toml
var initialConfig []byte

// makeFolders makes what the installed service needs and does not have yet: the folders of its configuration and its
// state, with the rights that they must have, and a configuration that names no connector.
func makeFolders(p paths, account string, takeOver bool) error {
	folder := filepath.Dir(p.config)
	if runtime.GOOS == "darwin" {
		if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
			return err
		}
	}
	read := config.DirOptions{Account: account, ReadOnly: true, TakeOver: takeOver}
	write := config.DirOptions{Account: account, TakeOver: takeOver}
	if err := config.SecureDir(folder, read); err != nil {
		return err
	}
	if err := config.SecureDir(filepath.Join(folder, "config.d"), read); err != nil {
		return err
	}
	if runtime.GOOS != "linux" { // there systemd makes it
		if err := config.SecureDir(p.state, write); err != nil {
			return err
		}
	}
	return writeInitialConfig(p.config, account)
}

func writeInitialConfig(path, account string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if runtime.GOOS != "windows" && account != "" { // there the folder says who may read it
		if err := giveToGroupOf(f, account); err != nil {
			return err
		}
	}
	if _, err := f.Write(initialConfig); err != nil {
		return err
	}
	return f.Close()
}

func giveToGroupOf(f *os.File, account string) error {
	found, err := user.Lookup(account)
	if err != nil {
		return fmt.Errorf("cannot find the account %s: %w", account, err)
	}
	group, err := strconv.Atoi(found.Gid)
	if err != nil {
		return err
	}
	return f.Chown(-1, group)
}
