package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
)

// keystorePatience is how long the status waits for a keystore that hangs, which is when people ask for it.
const keystorePatience = 2 * time.Second

// Status tells about the service as a whole; what is wrong with the configuration only to helpdesk.
func (d *Daemon) Status(ctx context.Context, peer *ipc.Peer) (ipc.Status, error) {
	f := d.inForce.Load()
	status := ipc.Status{
		Version: d.options.Version, StartedAt: d.started.UTC().Truncate(time.Second),
		UptimeSeconds: int64(time.Since(d.started).Seconds()), Entries: map[ipc.State]int{},
	}
	for state, count := range d.counts() {
		status.Entries[ipc.State(state)] = count
	}
	helpdesk := f.helpdesk(peer)
	refusal := d.refusal.Load()
	status.Configuration.Refused = refusal != nil
	if refusal != nil && helpdesk {
		status.Configuration.Why = (*refusal).Error()
	}
	if f.conf != nil {
		status.Configuration.Files = f.conf.Files
		status.Configuration.SHA256 = f.conf.SHA256
		status.Configuration.LoadedAt = moment(f.loadedAt)
		if helpdesk {
			status.Configuration.Warnings = f.conf.Warnings
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keystorePatience)
	defer cancel()
	keystore := d.keystore.Status(ctx)
	status.Keystore = ipc.Keystore{Backend: keystore.Backend, Key: keystore.Key, Healthy: keystore.Healthy, Detail: keystore.Detail}
	if want := wantedBackend(f); want != "" && want != keystore.Backend && status.Keystore.Detail == "" {
		status.Keystore.Detail = "The configuration names " + want + ": restart the service, and it moves the tokens there."
	}
	return status, nil
}

// wantedBackend is the keystore that the configuration names; empty where it leaves the choice.
func wantedBackend(f *force) string {
	if f.conf == nil || f.conf.Keystore.Backend == "auto" {
		return ""
	}
	return f.conf.Keystore.Backend
}

func (d *Daemon) counts() map[enrol.State]int {
	counts := map[enrol.State]int{}
	for _, view := range d.enrol.Views() {
		counts[view.State()]++
	}
	return counts
}

// Summary is the service in one line, for the service manager: "2 active, 1 awaiting_code".
func (d *Daemon) Summary() string {
	counts := d.counts()
	var parts []string
	for _, state := range []enrol.State{
		enrol.Active, enrol.AwaitingCode, enrol.Requesting, enrol.Validating, enrol.Storing, enrol.Idle, enrol.Blocked, enrol.Orphaned,
	} {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	summary := strings.Join(parts, ", ")
	if summary == "" {
		summary = "no entries"
	}
	if d.refusal.Load() != nil {
		summary += "; the configuration on disk is not in force: see the log"
	}
	return summary
}
