package sessionbus_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A service, cron and sudo have no session bus. A program that links keyring must not start one then, as it would by
// running dbus-launch while its packages are initialised; with dbus-x11 installed each run would leave a dbus-daemon.
func TestNoStrayBus(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	build(t, program, `package main

import _ "github.com/profitd/profitd/daemon/keystore"

func main() {}
`)
	for name, env := range map[string][]string{
		"no session":          nil,
		"sudo":                {"SUDO_UID=1000", "SUDO_USER=jan", "HOME=/root", "DISPLAY=:0"},
		"empty address":       {"DBUS_SESSION_BUS_ADDRESS="},
		"autolaunch":          {"DBUS_SESSION_BUS_ADDRESS=autolaunch:"},
		"no bus in directory": {"XDG_RUNTIME_DIR=" + dir},
	} {
		t.Run(name, func(t *testing.T) {
			if launched := runWithTrap(t, program, env); launched {
				t.Error("dbus-launch was run")
			}
			// And with the machine's own dbus-launch, if it has one.
			mark := "STRAY_BUS_TEST=" + t.TempDir()
			run(t, program, append(env, mark, "PATH="+os.Getenv("PATH")))
			if left := withVariable(t, mark); len(left) > 0 {
				t.Errorf("processes were left behind: %q", left)
			}
		})
	}
}

// The trap works: what TestNoStrayBus guards against does happen to a program that imports keyring alone.
func TestTrap(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	build(t, program, `package main

import _ "github.com/99designs/keyring"

func main() {}
`)
	if launched := runWithTrap(t, program, nil); !launched {
		t.Error("a program that imports keyring did not run dbus-launch")
	}
}

// build compiles a program within this module, so that it links what profitd links.
func build(t *testing.T, output, source string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", output, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// runWithTrap runs the program with a dbus-launch that only leaves a mark, and tells whether it was run.
func runWithTrap(t *testing.T, program string, env []string) bool {
	t.Helper()
	bin := t.TempDir()
	mark := filepath.Join(bin, "mark")
	trap := "#!/bin/sh\n: > '" + mark + "'\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "dbus-launch"), []byte(trap), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, program, append(env, "PATH="+bin+":/usr/bin:/bin"))
	_, err := os.Stat(mark)
	return err == nil
}

func run(t *testing.T, program string, env []string) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// withVariable finds the processes that have a variable in their environment.
func withVariable(t *testing.T, variable string) (found []string) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(environments) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, path := range environments {
		// What cannot be read has ended or is another account's.
		if data, _ := os.ReadFile(path); slices.Contains(strings.Split(string(data), "\x00"), variable) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
			found = append(found, filepath.Base(filepath.Dir(path))+" "+strings.TrimSpace(string(name)))
		}
	}
	return found
}
