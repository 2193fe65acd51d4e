package daemon

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/profitd/profitd/ipc"
)

// watched is an event stream as words: "snapshot 2", "12345.jan active", "removed".
func (r *running) watched(peer *ipc.Peer) (next func() string, end func()) {
	ctx, cancel := context.WithCancel(r.v.Context())
	events, ended := make(chan ipc.Event, 1000), make(chan error, 1)
	go func() {
		ended <- r.Watch(ctx, peer, func(event ipc.Event) error {
			events <- event
			return nil
		})
	}()
	r.v.Cleanup(cancel)
	return func() string {
			r.v.Helper()
			select {
			case event := <-events:
				switch {
				case event.Entry != nil:
					return event.Entry.User + " " + string(event.Entry.State)
				case event.Removed != "":
					return "removed " + event.Removed
				}
				return fmt.Sprint("snapshot ", len(event.Snapshot))
			case <-r.v.Context().Done():
				return "nothing"
			}
		}, func() {
			cancel()
			r.v.must(<-ended)
		}
}

// find reads until an event, and fails if one comes that must not.
func find(t *testing.T, next func() string, want, never string) {
	t.Helper()
	for {
		got := next()
		if never != "" && strings.Contains(got, never) {
			t.Fatalf("event %q", got)
		}
		if got == want {
			return
		}
		if got == "nothing" {
			t.Fatalf("no event %q", want)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	payrollOf := func(lines ...string) string { return v.connector("payroll", "", lines...) }
	janLine, riaLine := line("payroll", "12345.jan", "jan"), line("payroll", "12345.ria", "ria")
	v.write(payrollOf(janLine))
	r := v.start()
	jan := r.until(payroll("12345.jan"), ipc.AwaitingCode)
	owner, endOwner := r.watched(person("jan"))
	helpdesk, endHelpdesk := r.watched(admin)
	find(t, owner, "snapshot 1", "")
	find(t, helpdesk, "snapshot 1", "")

	v.write(payrollOf(janLine, riaLine))
	find(t, helpdesk, "12345.ria awaiting_code", "")
	r.activate(payroll("12345.ria"))
	r.activate(payroll("12345.jan"))
	find(t, owner, "12345.jan active", "12345.ria") // of others nothing
	find(t, helpdesk, "12345.jan active", "")

	v.write(payrollOf(riaLine))
	find(t, owner, "removed "+jan.ID, "12345.ria")
	find(t, helpdesk, "12345.jan orphaned", "removed") // the helpdesk sees orphans
	v.write(payrollOf(janLine, riaLine))
	find(t, owner, "12345.jan active", "12345.ria")
	v.write(payrollOf(line("payroll", "12345.jan", "els"), riaLine)) // another owner
	find(t, owner, "removed "+jan.ID, "12345.ria")
	endOwner()

	endHelpdesk()
}

// Over the socket a stream begins with the list, shows what happens, and ends with the service.
func TestWatchOverTheSocket(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.until(payroll("12345.jan"), ipc.AwaitingCode)
	states := make(chan string, 100)
	go func() {
		for event, err := range r.client.Watch(context.WithoutCancel(t.Context())) {
			switch {
			case err != nil:
				states <- "end"
			case event.Entry != nil:
				states <- string(event.Entry.State)
			case event.Snapshot != nil:
				states <- "snapshot"
			}
		}
	}()
	next := func() string {
		select {
		case state := <-states:
			return state
		case <-t.Context().Done():
			return "nothing"
		}
	}
	find(t, next, "snapshot", "")
	r.activate(payroll("12345.jan"))
	find(t, next, "active", "")
	v.must(r.stop())
	find(t, next, "end", "")
}

// Only the helpdesk learns who may have what, also of its own entries.
func TestList(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write("[helpdesk]\naccounts = [\"ria\"]\n", v.connector("payroll", "",
		line("payroll", "12345.jan", "jan", "+staff"), line("payroll", "12345.ria", "ria", "+staff"), line("payroll", "12345.piet", "piet")))
	r := v.start()
	list := func(peer *ipc.Peer) (users []string) {
		t.Helper()
		entries, err := r.Entries(t.Context(), peer)
		v.must(err)
		for _, entry := range entries {
			users = append(users, entry.User)
			if (len(entry.Accounts) > 0) != (r.inForce.Load().helpdesk(peer)) {
				t.Errorf("%s is told of %s: %v", peer.Account, entry.User, entry.Accounts)
			}
			if entry.Device != "LAPTOP-0123" || entry.Connector != "payroll" || entry.Description != "payroll" || entry.ID == "" {
				t.Errorf("entry: %+v", entry)
			}
		}
		return users
	}
	for _, test := range []struct {
		peer *ipc.Peer
		want string
	}{
		{person("jan"), "[12345.jan]"},
		{person("els", "+staff"), "[12345.jan 12345.ria]"},
		{person("jan", "+staff"), "[12345.jan 12345.ria]"},
		{person("ria"), "[12345.jan 12345.piet 12345.ria]"},
		{admin, "[12345.jan 12345.piet 12345.ria]"},
		{person("kees"), "[]"},
	} {
		if got := fmt.Sprint(list(test.peer)); got != test.want {
			t.Errorf("%s sees %s, want %s", test.peer.Account, got, test.want)
		}
	}
}
