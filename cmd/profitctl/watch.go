package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Show changes as they happen",
		Long: `Show first what profitctl list shows, then each change as it happens, until Ctrl-C.

With --json each line is one event of the API: first {"entries": […]}, then an entry for
each that changes, or {"id": …} alone for one that is gone.`,
		Example: "  profitctl watch\n  profitctl watch --json | while read -r event; do …; done",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names := make(map[string]ipc.Ref) // by id
			for event, err := range a.service().Watch(context.Background()) {
				if err != nil {
					return err
				}
				a.event(event, names)
				if err := a.flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) event(event ipc.Event, names map[string]ipc.Ref) {
	switch {
	case a.asJSON:
		a.out.Write(toJSON(eventData(event), false))
	case event.Removed != "":
		a.printf("%s  %s is gone\n", time.Now().Format(time.TimeOnly), names[event.Removed])
		delete(names, event.Removed)
	case event.Entry != nil:
		names[event.Entry.ID] = refOf(*event.Entry)
		a.printf("%s  ", time.Now().Format(time.TimeOnly))
		a.stands(*event.Entry)
	default:
		for _, e := range event.Snapshot {
			names[e.ID] = refOf(e)
		}
		a.list(event.Snapshot)
	}
}

// eventData is what the API sends as the event's data.
func eventData(event ipc.Event) any {
	switch {
	case event.Entry != nil:
		return event.Entry
	case event.Removed != "":
		return map[string]string{"id": event.Removed}
	}
	return ipc.EntryList{Entries: event.Snapshot}
}
