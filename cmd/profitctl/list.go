package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List connectors and users, and where each stands",
		Long:    "List what this account has, and where each stands; for the helpdesk everything. It shows no token.",
		Example: "  profitctl list\n  profitctl list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return show(a, quick, entryList, func(list ipc.EntryList) { a.list(list.Entries) })
		},
	}
}

func entryList(service *ipc.Client, ctx context.Context) (ipc.EntryList, error) {
	entries, err := service.Entries(ctx)
	return ipc.EntryList{Entries: entries}, err
}

func (a *app) list(entries []ipc.Entry) {
	if len(entries) == 0 {
		a.warnf("There is nothing for this account. profitctl whoami shows how the service sees it.\n")
		return
	}
	rows := [][]cell{{{"CONNECTOR", bold}, {"USER", bold}, {"STATE", bold}, {"SINCE", bold}, {"NOTE", bold}}}
	for _, e := range entries {
		rows = append(rows, row(e))
	}
	a.table(rows)
}
