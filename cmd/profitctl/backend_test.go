package main

import (
	"context"
	"slices"
	"sync"

	"github.com/profitd/profitd/ipc"
)

// backend answers what a script's file says, remembers what it was asked, and has no mind of its own.
type backend struct {
	mu      sync.Mutex // guards all below
	answers answersOf
	calls   []string
	changed chan struct{} // closed, and replaced, when an entry changes
}

// answersOf is the form of a script's file.
type answersOf struct {
	Entries     []ipc.Entry
	Status      ipc.Status
	Token       ipc.Token
	Receipt     ipc.Receipt
	Explanation ipc.Explanation
	State       ipc.State             // of an entry after a call about it
	Problems    map[string]*ipc.Error // by call, or by call and entry: "token", "reset payroll/12345.jan"
}

func (b *backend) Roles(*ipc.Peer, ipc.Ref) ipc.Role { return ipc.Local | ipc.Owner | ipc.Helpdesk }

// begin remembers a call and says how it fails, if it does.
func (b *backend) begin(call string, ref ipc.Ref, more string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.beginLocked(call, ref, more)
}

func (b *backend) beginLocked(call string, ref ipc.Ref, more string) error {
	b.calls = append(b.calls, call+" "+ref.String()+more)
	for _, name := range []string{call + " " + ref.String(), call} {
		if problem := b.answers.Problems[name]; problem != nil {
			return problem
		}
	}
	return nil
}

func (b *backend) Status(context.Context, *ipc.Peer) (ipc.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answers.Status, nil
}

func (b *backend) Entries(context.Context, *ipc.Peer) ([]ipc.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.answers.Entries), nil
}

// Token waits, if it is asked to, until an entry of the connector is active.
func (b *backend) Token(ctx context.Context, _ *ipc.Peer, ref ipc.Ref, query ipc.TokenQuery) (*ipc.Token, error) {
	if err := b.begin("token", ref, ""); err != nil {
		return nil, err
	}
	for {
		b.mu.Lock()
		token, changed := b.answers.Token, b.changed
		ready := slices.ContainsFunc(b.answers.Entries, func(e ipc.Entry) bool {
			return e.Connector == ref.Connector && e.State == ipc.Active
		})
		b.mu.Unlock()
		if ready || query.Wait == 0 {
			return &token, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *backend) Code(_ context.Context, _ *ipc.Peer, ref ipc.Ref) (ipc.Entry, error) {
	return b.change("code", ref, "")
}

func (b *backend) Activate(_ context.Context, _ *ipc.Peer, ref ipc.Ref, code ipc.ActivationCode) (ipc.Entry, error) {
	return b.change("activate", ref, " "+code.Reveal())
}

func (b *backend) Reject(_ context.Context, _ *ipc.Peer, ref ipc.Ref) (ipc.Entry, error) {
	return b.change("reject", ref, "")
}

func (b *backend) change(call string, ref ipc.Ref, more string) (ipc.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.beginLocked(call, ref, more); err != nil {
		return ipc.Entry{}, err
	}
	return b.setLocked(ref, ""), nil
}

// set changes an entry's state, to that of the file if it is not given.
func (b *backend) set(ref ipc.Ref, state ipc.State) ipc.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.setLocked(ref, state)
}

func (b *backend) setLocked(ref ipc.Ref, state ipc.State) ipc.Entry {
	if state == "" {
		state = b.answers.State
	}
	i := slices.IndexFunc(b.answers.Entries, func(e ipc.Entry) bool { return refOf(e) == ref })
	b.answers.Entries[i].State = state
	close(b.changed)
	b.changed = make(chan struct{})
	return b.answers.Entries[i]
}

func (b *backend) Reset(_ context.Context, _ *ipc.Peer, ref ipc.Ref, request ipc.ResetRequest) (ipc.Receipt, error) {
	more := ""
	for _, option := range []struct {
		on   bool
		name string
	}{{request.Revoke, " revoke"}, {request.Enrol, " enrol"}, {request.DryRun, " dry_run"}} {
		if option.on {
			more += option.name
		}
	}
	return b.answers.Receipt, b.begin("reset", ref, more)
}

func (b *backend) Explain(_ context.Context, _ *ipc.Peer, ref ipc.Ref, account string) (ipc.Explanation, error) {
	return b.answers.Explanation, b.begin("explain", ref, " "+account)
}

// Watch sends the list, and then what has changed each time that something does.
func (b *backend) Watch(ctx context.Context, _ *ipc.Peer, send func(ipc.Event) error) error {
	var last []ipc.Entry
	for first := true; ; first = false {
		b.mu.Lock()
		entries, changed := slices.Clone(b.answers.Entries), b.changed
		b.mu.Unlock()
		events := []ipc.Event{{Snapshot: entries}}
		if !first {
			events = changes(last, entries)
		}
		for _, event := range events {
			if err := send(event); err != nil {
				return err
			}
		}
		last = entries
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// changes are those from one list to the next of the same length; what becomes "gone" is removed.
func changes(before, after []ipc.Entry) (events []ipc.Event) {
	for i := range after {
		switch {
		case before[i].State == after[i].State:
		case after[i].State == "gone":
			events = append(events, ipc.Event{Removed: after[i].ID})
		default:
			events = append(events, ipc.Event{Entry: &after[i]})
		}
	}
	return events
}
