//go:build unix

package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// systemd is the end of NOTIFY_SOCKET that systemd holds.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func newSystemd(t *testing.T) *systemd {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &systemd{t, conn}
}

// next returns the lines of the next message.
func (s *systemd) next() []string {
	s.t.Helper()
	s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	n, err := s.conn.Read(buf)
	if err != nil {
		s.t.Fatalf("systemd heard nothing: %v", err)
	}
	return strings.Split(string(buf[:n]), "\n")
}

func (s *systemd) expect(want string) {
	s.t.Helper()
	if got := s.next(); len(got) != 1 || got[0] != want {
		s.t.Fatalf("systemd heard %q, want %q", got, want)
	}
}

func quiet() Options {
	return Options{Log: slog.New(slog.DiscardHandler)}
}

// runs starts Run and returns how it ends.
func runs(o Options, p Program) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- Run(o, p) }()
	return ended
}

func within(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

// signalSelf is what systemctl stop and systemctl reload come down to.
func signalSelf(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// A unit of Type=notify counts as started, reloaded and stopping when the service says so.
func TestLife(t *testing.T) {
	s := newSystemd(t)
	reloads := make(chan struct{})
	ended := runs(quiet(), Program{
		Run: func(ctx context.Context, n *Notifier) error {
			n.Ready()
			n.Ready()
			n.Status("3 entries: 2 active, 1 awaiting a code")
			n.Status("3 entries: 2 active, 1 awaiting a code")
			<-ctx.Done()
			return ctx.Err()
		},
		Reload: func() { reloads <- struct{}{} },
	})
	s.expect("READY=1")
	s.expect("STATUS=3 entries: 2 active, 1 awaiting a code")

	signalSelf(t, syscall.SIGHUP)
	got := s.next()
	if len(got) != 2 || got[0] != "RELOADING=1" || !strings.HasPrefix(got[1], "MONOTONIC_USEC=") {
		t.Fatalf("systemd heard %q", got)
	}
	<-reloads
	s.expect("READY=1")

	signalSelf(t, syscall.SIGTERM)
	s.expect("STOPPING=1")
	if err := within(t, ended); err != nil {
		t.Fatal(err)
	}
}

// Whoever asks while a reload is under way wants what came after that began to be looked at too.
func TestReloadDuringReload(t *testing.T) {
	s := newSystemd(t)
	reloads, goOn := make(chan struct{}), make(chan struct{})
	ended := runs(quiet(), Program{
		Run: func(ctx context.Context, n *Notifier) error {
			n.Ready()
			<-ctx.Done()
			return nil
		},
		Reload: func() { reloads <- struct{}{}; <-goOn },
	})
	s.expect("READY=1")
	signalSelf(t, syscall.SIGHUP)
	s.next()
	<-reloads
	signalSelf(t, syscall.SIGHUP)
	goOn <- struct{}{}
	select {
	case <-reloads:
		goOn <- struct{}{}
	case <-time.After(10 * time.Second):
		t.Fatal("the second reload never happened")
	}
	signalSelf(t, syscall.SIGTERM)
	if err := within(t, ended); err != nil {
		t.Fatal(err)
	}
}

// Systemd takes each line of a message for an order.
func TestStatusGivesNoOrders(t *testing.T) {
	s := newSystemd(t)
	n := newNotifier(t.Context(), slog.New(slog.DiscardHandler))
	n.Status("payroll\nMAINPID=1\x1b[2J")
	s.expect(`STATUS="payroll\nMAINPID=1\x1b[2J"`)
}

// A service that hangs must not keep the machine from going down, nor look as if it had ended well.
func TestStopHasADeadline(t *testing.T) {
	s := newSystemd(t)
	hang := make(chan struct{})
	defer close(hang)
	o := quiet()
	o.StopTimeout = 20 * time.Millisecond
	ended := runs(o, Program{Run: func(_ context.Context, n *Notifier) error {
		n.Ready()
		<-hang
		return nil
	}})
	s.expect("READY=1")
	signalSelf(t, syscall.SIGTERM)
	if err := within(t, ended); err == nil || !strings.Contains(err.Error(), "cannot stop within 20ms") {
		t.Fatalf("Run returned %v", err)
	}
}

// Ctrl-C twice means now.
func TestSecondSignal(t *testing.T) {
	s := newSystemd(t)
	hang := make(chan struct{})
	defer close(hang)
	ended := runs(quiet(), Program{Run: func(_ context.Context, n *Notifier) error {
		n.Ready()
		<-hang
		return nil
	}})
	s.expect("READY=1")
	signalSelf(t, syscall.SIGINT)
	s.expect("STOPPING=1")
	signalSelf(t, syscall.SIGINT)
	if err := within(t, ended); err == nil {
		t.Fatal("Run returned no error")
	}
}

// An exit without an error would tell systemd that the work is done, and nobody would start the service again.
func TestEndingByItselfIsAnError(t *testing.T) {
	if err := within(t, runs(quiet(), Program{Run: func(context.Context, *Notifier) error { return nil }})); err == nil {
		t.Error("Run returned no error")
	}
	broken := errors.New("cannot listen")
	if err := within(t, runs(quiet(), Program{Run: func(context.Context, *Notifier) error { return broken }})); !errors.Is(err, broken) {
		t.Errorf("Run returned %v", err)
	}
}

// The watchdog is fed only when the service has proved that it answers; a check that hangs or fails feeds nothing.
func TestWatchdog(t *testing.T) {
	for name, trouble := range map[string]func(context.Context) error{
		"fails": func(context.Context) error { return errors.New("no answer") },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystemd(t)
			t.Setenv("WATCHDOG_USEC", "40000")
			const failures = 3
			var calls atomic.Int64
			n := newNotifier(t.Context(), slog.New(slog.DiscardHandler))
			n.Watchdog(func(ctx context.Context) error {
				if calls.Add(1) <= failures {
					return trouble(ctx)
				}
				return nil
			})
			s.expect("WATCHDOG=1")
			if c := calls.Load(); c <= failures {
				t.Errorf("the watchdog was fed after %d calls, all of which failed", c)
			}
			s.expect("WATCHDOG=1")
		})
	}
}

func TestWatchdogOfAnotherProcess(t *testing.T) {
	newSystemd(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "1")
	n := newNotifier(t.Context(), slog.New(slog.DiscardHandler))
	n.Watchdog(func(context.Context) error { t.Error("it was checked"); return nil })
	unused := false
	n.once.Do(func() { unused = true })
	if !unused {
		t.Error("the watchdog of another process is fed")
	}
}

// Outside of systemd all this says nothing to nobody.
func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var log strings.Builder
	n := newNotifier(t.Context(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	n.Ready()
	n.Status("fine")
	n.Watchdog(func(context.Context) error { t.Error("it was checked"); return nil })
	if log.Len() > 0 {
		t.Errorf("logged %s", &log)
	}
}
