package service

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kardianos/service"
)

// unit is what the packages install as it is.
//
//go:embed profitd.service
var unit string

// packagedUnits are where a package puts its unit, relative to the root.
var packagedUnits = []string{"/usr/lib/systemd/system", "/lib/systemd/system"}

func install(o Options) error {
	if service.Platform() != "linux-systemd" {
		return errors.New("this system is not run by systemd; have what runs it start `profitd run`")
	}
	for _, dir := range packagedUnits {
		if path := filepath.Join(dir, o.Name+".service"); exists(path) {
			return fmt.Errorf("a package has done so already (%s); start the service with `systemctl enable --now %s`", path, o.Name)
		}
	}
	o.Account, _ = accountOf(o)
	if err := makeAccount(o.Account); err != nil {
		return err
	}
	text, err := unitTemplate(o)
	if err != nil {
		return err
	}
	s, err := controlled(o, service.KeyValue{"SystemdScript": text})
	if err != nil {
		return err
	}
	return replace(s, filepath.Join("/etc/systemd/system", o.Name+".service"))
}

// unitTemplate is the unit in the language of kardianos/service's templates, for another program and account.
func unitTemplate(o Options) (string, error) {
	text := unit
	for _, change := range [][2]string{
		{"\nExecStart=/usr/bin/profitd run\n", "\nExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}\n"},
		{"\nUser=profitd\n", "\nUser={{UserName}}\n"},
		{"\nGroup=profitd\n", "\n"}, // the account's own
		{"\nDescription=Profit token service\n", "\nDescription={{Description}}\n"},
	} {
		if strings.Count(text, change[0]) != 1 {
			return "", fmt.Errorf("the unit has no line %q", strings.TrimSpace(change[0]))
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	return text, nil
}

// makeAccount makes the service's account, of the sort that nobody can log in to, unless there is one.
func makeAccount(account string) error {
	if exec.Command("getent", "passwd", account).Run() == nil {
		return nil
	}
	out, err := exec.Command("systemd-sysusers", "--inline", fmt.Sprintf("u %s - \"Profit token service\" /var/lib/profitd", account)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make the account %s: %s (%w); make it yourself and try again", account, printable(strings.TrimSpace(string(out))), err)
	}
	return nil
}

func accountOf(o Options) (string, error) {
	if o.Account == "" {
		return name, nil
	}
	return o.Account, nil
}

func uninstall(o Options) error {
	path := filepath.Join("/etc/systemd/system", o.Name+".service")
	if !exists(path) {
		return fmt.Errorf("there is no %s; what a package has installed the package removes", path)
	}
	s, err := controlled(o, nil)
	if err != nil {
		return err
	}
	return s.Uninstall()
}

// lookFor is the next step when starting or stopping has failed.
func lookFor(o Options) string {
	return fmt.Sprintf("see `systemctl status %s` and `journalctl -u %s`", o.Name, o.Name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
