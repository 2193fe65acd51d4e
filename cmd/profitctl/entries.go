package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

// find returns the one entry's name that CONNECTOR [USER] means. Without USER it is the only one that the caller sees
// of the connector; the service alone knows whether the caller has a right to it.
func find(ctx context.Context, service *ipc.Client, command string, args []string) (ipc.Ref, error) {
	if len(args) == 2 {
		return ipc.Ref{Connector: args[0], User: args[1]}, nil
	}
	entries, err := matching(ctx, service, args)
	switch {
	case err != nil:
		return ipc.Ref{}, err
	case len(entries) == 0:
		return ipc.Ref{}, nothingThere(args)
	case len(entries) > 1:
		return ipc.Ref{}, whichOne(command, entries)
	}
	return refOf(entries[0]), nil
}

// matching lists the entries that [CONNECTOR [USER]] may mean.
func matching(ctx context.Context, service *ipc.Client, args []string) ([]ipc.Entry, error) {
	entries, err := service.Entries(ctx)
	return slices.DeleteFunc(entries, func(e ipc.Entry) bool {
		return len(args) > 0 && e.Connector != args[0] || len(args) > 1 && e.User != args[1]
	}), err
}

func refOf(e ipc.Entry) ipc.Ref { return ipc.Ref{Connector: e.Connector, User: e.User} }

// entriesOf are the entries that an event tells about.
func entriesOf(event ipc.Event) []ipc.Entry {
	if event.Entry != nil {
		return []ipc.Entry{*event.Entry}
	}
	return event.Snapshot
}

// nothingThere is what the service would say: the same whether the entry does not exist or is somebody else's.
func nothingThere(args []string) error {
	next := []string{"profitctl list shows what this account has, profitctl whoami how the service sees it."}
	if len(args) == 1 {
		next = append(next, "A user that a template gives this account is not there before it is asked for: profitctl token "+quote(args[0]))
	}
	return &failure{exitDenied, "This account has no right to this, or it does not exist.", next}
}

// whichOne asks for a name, and shows the commands that give it.
func whichOne(command string, entries []ipc.Entry) error {
	const most = 10
	next := []string{"Say which:"}
	for i, e := range entries {
		if i == most {
			next = append(next, "  … profitctl list shows them all.")
			break
		}
		next = append(next, "  "+commandFor(command, e))
	}
	return usage("There are several.", next...)
}

// commandFor is a command line for the entry, ready to be pasted into a shell.
func commandFor(command string, e ipc.Entry) string {
	return "profitctl " + command + " " + quote(e.Connector) + " " + quote(e.User)
}

// stateColours are those of the states in which something is to be seen at a glance.
var stateColours = map[ipc.State]colour{
	ipc.Active: green, ipc.Storing: yellow, ipc.AwaitingCode: yellow, ipc.Blocked: red, ipc.Orphaned: faint,
}

// note is what there is to know about the entry's state, or to do.
func note(e ipc.Entry) string {
	var notes []string
	if e.Message != "" {
		notes = append(notes, strings.TrimSuffix(e.Message, "."))
	}
	switch {
	case e.State == ipc.AwaitingCode:
		notes = append(notes, "enter the code: "+commandFor("activate", e))
	case e.State == ipc.Idle:
		notes = append(notes, "ask for a code: "+commandFor("code", e))
	case e.State == ipc.Active && e.ExpiresAt != nil:
		notes = append(notes, "until "+when(*e.ExpiresAt))
	case e.NextAttemptAt != nil && e.NextAttemptAt.After(time.Now()):
		notes = append(notes, "next attempt "+when(*e.NextAttemptAt))
	case e.State == ipc.Requesting && e.Message == "":
		notes = append(notes, "Profit is being asked for a code")
	}
	if e.ProfitLogReference != "" {
		notes = append(notes, "Profit's log reference "+e.ProfitLogReference)
	}
	return strings.Join(notes, "; ")
}

// row is the entry as a row of a table.
func row(e ipc.Entry) []cell {
	return []cell{
		{e.Connector, plain}, {e.User, plain}, {string(e.State), stateColours[e.State]}, {when(e.Since), faint}, {note(e), plain},
	}
}

// stands prints in a line where the entry stands.
func (a *app) stands(e ipc.Entry) {
	a.table([][]cell{{{refOf(e).String(), plain}, {string(e.State), stateColours[e.State]}, {note(e), plain}}})
}

// noMail is what to check when no mail comes: Profit accepts the request all the same.
func noMail(e ipc.Entry) []string {
	return []string{
		"No mail? Check that",
		"  - " + e.User + " has a valid e-mail address in Profit;",
		"  - " + e.User + " is a member of the app connector's user group in Profit;",
		"  - the app connector is not blocked in Profit;",
		"  - the mail is not among the spam. Its subject names the app connector: " + e.Description + ".",
		"Then ask for a new code: " + commandFor("code", e),
	}
}

// completeEntries completes CONNECTOR and USER from the service's list; when it does not answer, with nothing.
func (a *app) completeEntries(states ...ipc.State) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := within(quick / 10)
		defer cancel()
		entries, _ := matching(ctx, a.service(), args)
		var found []string
		for _, e := range entries {
			name, about := e.Connector, e.Description
			if len(args) == 1 {
				name, about = e.User, string(e.State)
			}
			wanted := len(states) == 0 || slices.Contains(states, e.State)
			if wanted && len(args) < 2 && strings.HasPrefix(name, begun) && clean(name) == name {
				found = append(found, cobra.CompletionWithDesc(name, clean(about)))
			}
		}
		slices.Sort(found)
		return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
	}
}
