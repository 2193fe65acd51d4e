// Package daemon puts the parts of profitd together: it reconciles the configuration with the enrolments, holds the
// tokens in memory, and serves the local API as its ipc.Backend.
//
// A token request is answered from memory: no keystore, no network and no disk is on that path. Everything else
// goes downwards, to package enrol, and what changes there comes up over one channel.
//
// Who may do what stands in access.go, on one screen. What is in force stands in an immutable value (force.go) that
// a reload replaces as a whole (reload.go).
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit"
)

// Options are what a Daemon needs. ConfigFile, StateDir and Socket are required.
type Options struct {
	ConfigFile string // config.toml; config.d lies beside it
	StateDir   string // made if it is not there; used by one process at a time
	Socket     string // where to listen, see ipc.Listen

	User           bool          // one person's own instance
	SoleOwner      string        // the one form ("uid:1000", a SID) of the account that owns every entry; empty: as the lines say
	CredentialsDir string        // where systemd puts credentials; empty: what the environment says
	Version        string        // of the program, for status
	StopTimeout    time.Duration // for what is under way when the service stops; default 20 s
	Log            *slog.Logger

	// Changed is told what Summary says whenever that may have changed. nil: nobody wants to know.
	Changed func(summary string)

	Transport http.RoundTripper // for tests: instead of the network

	quiet time.Duration // defaultQuiet, unless a test is in a hurry
}

// Daemon is the service. New makes it, Run lets it work.
type Daemon struct {
	options  Options
	log      *slog.Logger
	started  time.Time
	listener net.Listener
	keystore keystore.Store
	enrol    *enrol.Enroller
	watcher  *config.Watcher
	unwatch  context.CancelFunc
	hub      hub

	inForce atomic.Pointer[force] // what the configuration says; never nil
	refusal atomic.Pointer[error] // why the files on disk are not in force; nil if they are

	reloadAsked chan chan struct{} // each is closed when the configuration has been looked at
	toMake      chan making

	// Of the reload path, which alone uses them.
	unsettled      *force // could not be put in force at the start
	network        *profit.Network
	networkOptions profit.NetworkOptions
}

// New takes the socket and the state directory, opens the keystore and puts the configuration in force. A
// configuration that is not in order is no error: the last good one is taken, or none. An error means that the
// service cannot run at all.
func New(ctx context.Context, options Options) (_ *Daemon, err error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.StopTimeout == 0 {
		options.StopTimeout = 20 * time.Second
	}
	if options.quiet == 0 {
		options.quiet = defaultQuiet
	}
	d := &Daemon{
		options: options, log: options.Log, started: time.Now(),
		reloadAsked: make(chan chan struct{}), toMake: make(chan making),
	}
	d.inForce.Store(newForce(nil, options.SoleOwner))
	if err := os.MkdirAll(options.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w", err)
	}
	if d.listener, err = ipc.Listen(options.Socket); err != nil {
		return nil, err
	}
	undo := []func() error{d.listener.Close}
	defer func() {
		if err != nil {
			for _, close := range undo {
				_ = close()
			}
		}
	}()
	journal, err := enrol.OpenJournal(options.StateDir, d.log)
	if err != nil {
		return nil, err
	}
	undo = append(undo, journal.Close)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	undo = append(undo, func() error { unwatch(); return nil })
	d.unwatch = unwatch
	d.watcher = config.Watch(watching, options.ConfigFile, config.Options{})
	first := <-d.watcher.C
	backend := "auto"
	if first.Err == nil {
		backend = first.Config.Keystore.Backend
	}
	d.keystore, err = keystore.Open(ctx, keystore.Options{
		Backend: backend, Dir: options.StateDir, User: options.User, CredentialsDir: options.CredentialsDir, Log: d.log,
	})
	if err != nil {
		return nil, err
	}
	undo = append(undo, d.keystore.Close)
	if d.enrol, err = enrol.New(enrol.Options{Journal: journal, Keystore: d.keystore, Log: d.log}); err != nil {
		return nil, err
	}
	d.start(ctx, first)
	return d, nil
}

// Run serves until ctx ends. Then it takes no more requests, lets running ones finish for a while, and closes
// everything. It calls ready once it answers.
func (d *Daemon) Run(ctx context.Context, ready func()) error {
	server := ipc.NewServer(d, ipc.ServerOptions{Log: d.log, Version: d.options.Version})
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	parts.Go(func() { d.enrol.Run(working) })
	parts.Go(func() { d.reloads(working) })
	parts.Go(func() { d.passOn(working) })
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(d.listener) }()
	d.log.Info("listening", "socket", d.options.Socket, "version", d.options.Version)
	d.tellChanged()
	if ready != nil {
		ready()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-serving:
		err = fmt.Errorf("cannot serve on %s: %w", d.options.Socket, err)
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.options.StopTimeout)
	defer cancel()
	if late := server.Shutdown(patience); late != nil {
		d.log.Warn("calls were cut off because the service stops", "error", late)
	}
	if err == nil {
		<-serving // now the socket is gone
	}
	stop()
	parts.Wait()
	return errors.Join(err, d.close(patience))
}

// close ends everything but the serving; calls of Profit under way have until ctx ends to finish.
func (d *Daemon) close(ctx context.Context) error {
	d.unwatch()
	err := d.enrol.Close(ctx)
	if d.network != nil {
		d.network.Close()
	}
	return errors.Join(err, d.keystore.Close())
}

// passOn tells those who wait what changed.
func (d *Daemon) passOn(ctx context.Context) {
	for {
		select {
		case keys := <-d.enrol.Changes():
			d.hub.notify(keys)
			d.tellChanged()
		case <-ctx.Done():
			return
		}
	}
}

func (d *Daemon) tellChanged() {
	if d.options.Changed != nil {
		d.options.Changed(d.Summary())
	}
}

// Reload looks at the configuration, whether or not anything is seen to have changed, and returns when it has; what
// removes entries is taken a few seconds later. It needs Run.
func (d *Daemon) Reload(ctx context.Context) {
	looked := make(chan struct{})
	select {
	case d.reloadAsked <- looked:
	case <-ctx.Done():
		return
	}
	select {
	case <-looked:
	case <-ctx.Done():
	}
}

// Answers proves that the service answers: it asks who it is over its own socket, as any client would.
func (d *Daemon) Answers(ctx context.Context) error {
	client := ipc.NewClient(ipc.ClientOptions{Socket: d.options.Socket})
	defer client.Close()
	_, err := client.Whoami(ctx)
	return err
}
