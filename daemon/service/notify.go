package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells the system how the service fares. It may be used by many goroutines at once.
type Notifier struct {
	ctx   context.Context // of the program
	log   *slog.Logger
	ready atomic.Bool
	once  sync.Once // for the watchdog

	mu   sync.Mutex
	text string // guarded by mu: the status that was told last
}

func newNotifier(ctx context.Context, log *slog.Logger) *Notifier {
	return &Notifier{ctx: ctx, log: log}
}

// Ready says that the service serves.
func (n *Notifier) Ready() {
	if n.ready.CompareAndSwap(false, true) {
		n.send(daemon.SdNotifyReady)
		n.log.Log(n.ctx, LevelNotice, "the service has started")
	}
}

// Status says in a line, for `systemctl status`, how the service fares.
func (n *Notifier) Status(text string) {
	text = printable(text) // what follows a line break would be an order to systemd
	n.mu.Lock()
	defer n.mu.Unlock()
	if text != n.text {
		n.text = text
		n.send("STATUS=" + text)
	}
}

func (n *Notifier) reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

func (n *Notifier) reloaded() { n.send(daemon.SdNotifyReady) }
func (n *Notifier) stopping() { n.send(daemon.SdNotifyStopping) }

func (n *Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("cannot notify systemd", "error", err)
	}
}

// Watchdog has the service restarted when check, which should ask of it what an application would, goes on failing or
// not returning. It returns at once, and does nothing unless the unit sets WatchdogSec and Run is what it watches.
//
// The check is made twice in WatchdogSec, to wake an idle machine seldom, and more often after it has failed.
func (n *Notifier) Watchdog(check func(context.Context) error) {
	patience, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("cannot use systemd's watchdog; the service goes on without", "error", err)
	}
	if patience == 0 {
		return
	}
	n.once.Do(func() { go n.watch(patience, check) })
}

func (n *Notifier) watch(patience time.Duration, check func(context.Context) error) {
	for {
		wait := patience / 2
		ctx, cancel := context.WithTimeout(n.ctx, patience/4)
		err := check(ctx)
		cancel()
		switch {
		case n.ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			n.log.Warn("the service does not answer itself; systemd restarts it unless that changes", "waited", patience/4)
			wait = patience / 20
		case err != nil:
			n.log.Warn("the service does not serve; systemd restarts it unless that changes", "error", err)
			wait = patience / 20
		default:
			n.send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
	}
}
