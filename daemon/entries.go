package daemon

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
)

// Entries lists what the caller owns, or for helpdesk everything, orphans too.
func (d *Daemon) Entries(_ context.Context, peer *ipc.Peer) ([]ipc.Entry, error) {
	return d.entriesFor(peer), nil
}

func (d *Daemon) entriesFor(peer *ipc.Peer) []ipc.Entry {
	f := d.inForce.Load()
	helpdesk := f.helpdesk(peer)
	var entries []ipc.Entry
	listed := map[ipc.Ref]bool{}
	if helpdesk {
		for _, view := range d.enrol.Views() {
			entry := f.entry(view, true)
			entries = append(entries, entry)
			if entry.State != ipc.Orphaned {
				listed[refOf(entry)] = true
			}
		}
	}
	for ref := range f.owned(peer, "") {
		if !listed[ref] {
			listed[ref] = true
			entries = append(entries, f.own(ref))
		}
	}
	slices.SortFunc(entries, func(a, b ipc.Entry) int {
		return cmp.Or(cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.User, b.User), cmp.Compare(a.ID, b.ID))
	})
	return entries
}

func refOf(e ipc.Entry) ipc.Ref { return ipc.Ref{Connector: e.Connector, User: e.User} }

// own is an entry as its owner sees it, also one that a template makes only when the owner asks for the token.
func (f *force) own(ref ipc.Ref) ipc.Entry {
	if x := f.find(ref); x != nil {
		return f.entry(x.handle.View(), false)
	}
	c := f.connectors[ref.Connector]
	x := newEntry(c, c.lineFor(ref.User), ref.User)
	about := x.enrolment().About
	return f.entry(&enrol.View{Key: x.key, About: &about, Status: &enrol.Status{
		State: enrol.Idle, Reason: enrol.ReasonNew, Since: f.loadedAt,
	}}, false)
}

// idOf is an identity as people and programs see it: enough of it to tell two apart.
func idOf(key string) string { return key[:min(16, len(key))] }

// entry is what may be told of a view; who may have its token only to helpdesk.
func (f *force) entry(view *enrol.View, helpdesk bool) ipc.Entry {
	s := view.Status
	entry := ipc.Entry{
		ID: idOf(view.Key), Connector: view.About.Connector, Description: view.About.Description,
		Environment: view.About.Environment, Type: view.About.Type, User: view.About.User,
		State: ipc.State(view.State()), Reason: s.Reason, Message: message(view), ProfitLogReference: s.LogReference,
		Since: s.Since.UTC().Truncate(time.Second), RequestedAt: moment(s.RequestedAt), RequestedBy: s.RequestedBy, ActivatedBy: s.ActivatedBy,
		Attempts: s.Attempts, NextAttemptAt: moment(s.NextAttemptAt), Mail: s.Mail, Fingerprint: s.Fingerprint,
		IssuedAt: moment(s.IssuedAt), ExpiresAt: moment(s.ExpiresAt),
	}
	if f.conf != nil {
		entry.Device = f.conf.Device.Description
	}
	if x := f.findKey(view.Key); x != nil && helpdesk {
		entry.Accounts, entry.Groups = x.line.Accounts, x.line.Groups
	}
	return entry
}

// message says how an entry stands where the record says nothing of its own.
func message(view *enrol.View) string {
	switch {
	case view.Orphan:
		return "No longer in the configuration. It is kept for a while, should it come back."
	case view.Unread:
		return "The keystore has not yet said whether it holds this token; it is tried again."
	case view.Status.Message == "" && view.Status.State == enrol.Idle:
		return "Nothing has been asked of Profit yet."
	}
	return view.Status.Message
}

// moment is a time as JSON shows it: null where there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// Watch sends what Entries lists, and then each change of it.
func (d *Daemon) Watch(ctx context.Context, peer *ipc.Peer, send func(ipc.Event) error) error {
	s := d.hub.open()
	defer d.hub.close(s)
	entries := d.entriesFor(peer)
	if err := send(ipc.Event{Snapshot: entries}); err != nil {
		return err
	}
	shown := map[string]bool{} // ids
	for _, entry := range entries {
		shown[entry.ID] = true
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.signal:
		}
		keys, all := s.take()
		var events []ipc.Event
		if all {
			events = replaced(shown, d.entriesFor(peer))
		} else {
			events = d.changed(peer, keys, shown)
		}
		for _, event := range events {
			if err := send(event); err != nil {
				return err
			}
			if event.Entry != nil {
				shown[event.Entry.ID] = true
			} else {
				delete(shown, event.Removed)
			}
		}
	}
}

// replaced turns a whole new list into events.
func replaced(shown map[string]bool, entries []ipc.Entry) (events []ipc.Event) {
	there := map[string]bool{}
	for _, entry := range entries {
		there[entry.ID] = true
		events = append(events, ipc.Event{Entry: &entry})
	}
	for id := range shown {
		if !there[id] {
			events = append(events, ipc.Event{Removed: id})
		}
	}
	return events
}

// changed turns the keys of changed entries into events.
func (d *Daemon) changed(peer *ipc.Peer, keys map[string]bool, shown map[string]bool) (events []ipc.Event) {
	f := d.inForce.Load()
	helpdesk := f.helpdesk(peer)
	for key := range keys {
		handle := d.enrol.Handle(key)
		if handle == nil {
			if id := idOf(key); shown[id] {
				events = append(events, ipc.Event{Removed: id})
			}
			continue
		}
		x := f.findKey(key)
		if helpdesk || x != nil && f.owns(peer, x.ref) {
			entry := f.entry(handle.View(), helpdesk)
			events = append(events, ipc.Event{Entry: &entry})
		}
	}
	return events
}
