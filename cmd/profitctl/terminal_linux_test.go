package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdTerminal is the script command terminal.
func cmdTerminal(ts *testscript.TestScript, _ bool, args []string) {
	dashes := slices.Index(args, "--")
	if dashes < 1 || dashes%2 == 0 {
		ts.Fatalf("usage: terminal N [EXPECT TYPE]... -- COMMAND...")
	}
	ours, theirs, err := openTerminal()
	ts.Check(err)
	defer ours.Close()
	path, err := exec.LookPath(args[dashes+1])
	ts.Check(err)
	command := exec.Command(path, args[dashes+2:]...)
	command.Stdin, command.Stdout, command.Stderr = theirs, theirs, theirs
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	for _, name := range []string{"PATH", "HOME", "PROFITD_SOCKET", "TZ", "TERM", "NO_COLOR", "GORACE"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(command.Start())
	theirs.Close()
	screen, err := converse(ours, args[1:dashes], func(text string) error {
		if change, ok := strings.CutPrefix(text, "@becomes "); ok {
			cmdBecomes(ts, false, strings.Fields(change))
			return nil
		}
		_, err := ours.WriteString(text)
		return err
	})
	if err != nil {
		command.Process.Kill()
	}
	exit := exitCode(ts, command.Wait())
	ts.Check(os.WriteFile(ts.MkAbs("screen"), screen, 0o600))
	ts.Logf("[screen]\n%s", screen)
	ts.Check(err)
	if exit != number(ts, args[0]) {
		ts.Fatalf("exit code %d, not %s", exit, args[0])
	}
}

// converse types as agreed, and returns what the terminal was sent until the program ended.
func converse(terminal *os.File, talk []string, enter func(string) error) (screen []byte, err error) {
	if err := terminal.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096)
	for {
		if len(talk) > 0 && regexp.MustCompile(talk[0]).Match(screen) {
			text, err := strconv.Unquote(`"` + talk[1] + `"`)
			if err == nil {
				err = enter(text)
			}
			if err != nil {
				return screen, err
			}
			talk = talk[2:]
		}
		n, err := terminal.Read(buffer)
		screen = append(screen, bytes.ReplaceAll(buffer[:n], []byte("\r\n"), []byte("\n"))...)
		switch {
		case errors.Is(err, syscall.EIO) && len(talk) == 0: // the program has ended: pty(7)
			return screen, nil
		case errors.Is(err, syscall.EIO):
			return screen, errors.New("what is expected did not appear: " + talk[0])
		case err != nil:
			return screen, err
		}
	}
}

// openTerminal makes a pseudoterminal, as pty(7) and ioctl_tty(2) describe.
func openTerminal() (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	ours = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
	}
	return ours, theirs, err
}
