// Package service is the border between profitd and whatever starts it: systemd, launchd, the Service Control Manager
// of Windows, or a person at a console.
//
// # Running
//
// [Run] runs a [Program] until it is asked to stop: by the Service Control Manager if that started the process, else
// by SIGINT or SIGTERM. SIGHUP has it look at its configuration. A program that has not ended by the deadline is left
// where it is and Run returns an error, so that the process ends; a program that ends without having been asked is an
// error too, so that whoever started it starts it again.
//
// Towards systemd ([Notifier]) it says when it serves, that it reloads or stops, and in words how it fares. It feeds
// the watchdog only after a check has succeeded. Without NOTIFY_SOCKET all this says nothing to nobody.
//
// # Logging
//
// [Logger] writes where the system looks: the journal, with fields, if standard error is connected to it; the Event
// Log for a Windows service; text on a terminal; JSON otherwise. One record is one record, whatever is in it: line
// breaks and control characters in a message or a value reach no terminal and begin no line.
//
// # Installing
//
// [Install], [Uninstall], [Start] and [Stop] are for those who use no package, and for the MSI. Install also mends:
// what is there already is brought to what it should be.
//
// # Where its knowledge comes from
//
// sd_notify(3), systemd.service(5), systemd.journal-fields(7); github.com/kardianos/service v1.3.0 was read: on
// Windows it registers no recovery action by itself, acts on crashes only, and waits for a service to stop without
// limit; on Linux it leaves an empty unit behind when a template is wrong; its guess whether somebody is sitting in
// front of the process is wrong in containers, so it is asked on Windows alone.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say what the service is called and how the system is to treat it. The zero value is profitd.
type Options struct {
	Name        string   // of the service, for programs; "profitd"
	DisplayName string   // for people; "Profit token service"
	Description string   // for people: a sentence
	Arguments   []string // of the service's command line, after the program; "run"

	// Account is whom the service runs as; by default an account of its own: on Windows the virtual account
	// `NT SERVICE\profitd`, on Linux profitd, on macOS root, whom the System keychain belongs to.
	Account string

	StopTimeout time.Duration // how long stopping may take; 30 s
	Log         *slog.Logger  // slog.Default()
}

func (o Options) withDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.Name, name)
	def(&o.DisplayName, "Profit token service")
	def(&o.Description, "Holds this device's Profit tokens and hands them to local applications.")
	if o.Arguments == nil {
		o.Arguments = []string{"run"}
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// name is what the system calls the service unless it is told otherwise.
const name = "profitd"

// Program is what runs.
type Program struct {
	// Run works until ctx ends, and calls Ready once it serves.
	Run func(ctx context.Context, n *Notifier) error
	// Reload looks at the configuration, and returns when it has. It is called by one goroutine at a time, from the
	// moment that the program is ready. nil: there is nothing to reload.
	Reload func()
}

// Run runs p until it is asked to stop. It returns nil only if p has then ended in time and without an error.
func Run(o Options, p Program) error {
	o = o.withDefaults()
	if managed, err := runManaged(o, p); managed {
		return err
	}
	// Two stops: the one that is heeded and the one that loses patience.
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stops)
	hangups := make(chan os.Signal, 1) // asked to reload twice, once is enough
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	r := start(o, p)
	for {
		select {
		case <-hangups:
			r.reload()
		case <-r.ended:
			return r.outcome()
		case <-stops:
			return r.stop(o.StopTimeout, stops)
		}
	}
}

// running is a program that has been started.
type running struct {
	o      Options
	p      Program
	n      *Notifier
	cancel context.CancelFunc

	ended chan struct{} // closed when the program has
	err   error         // of the program; read after ended

	reloading atomic.Bool // whether a reload is under way
	again     atomic.Bool // whether another was asked for since that began
}

func start(o Options, p Program) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{o: o, p: p, n: newNotifier(ctx, o.Log), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = p.Run(ctx, r.n)
	}()
	return r
}

// outcome is what came of a program that ended without having been asked.
func (r *running) outcome() error {
	r.cancel()
	if r.err != nil {
		return r.err
	}
	return errors.New("the service ended without having been asked to; what it logged before says why")
}

// stop asks the program to end and waits until it has, the deadline has passed, or a second signal comes.
func (r *running) stop(timeout time.Duration, impatient <-chan os.Signal) error {
	r.n.stopping()
	r.cancel()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	select {
	case <-r.ended:
	case <-deadline.C:
		return fmt.Errorf("cannot stop within %v: something hangs; the process ends all the same, which loses nothing", timeout)
	case <-impatient:
		return errors.New("stopped without waiting for what was under way")
	}
	if errors.Is(r.err, context.Canceled) { // the usual last words of what was told to end
		return nil
	}
	return r.err
}

// reload has the program look at its configuration, beside whatever else happens: a stop does not wait for it.
func (r *running) reload() {
	if r.p.Reload == nil || !r.n.ready.Load() {
		return // what is only starting reads the configuration anyway
	}
	r.again.Store(true)
	if !r.reloading.CompareAndSwap(false, true) {
		return
	}
	go func() {
		r.n.reloading()
		r.again.Store(false)
		r.p.Reload()
		r.reloading.Store(false)
		r.n.reloaded()
		if r.again.Load() {
			r.reload()
		}
	}()
}
