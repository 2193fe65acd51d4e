package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) codeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "code CONNECTOR [USER]",
		Short: "Ask Profit to mail a (new) activation code",
		Long: `Ask Profit to mail a (new) activation code. One that was mailed before no longer
counts. A token that is there is served until the new one is.`,
		Example:           "  profitctl code payroll\n  profitctl code payroll 12345.jan",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeEntries(),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.change("code", args, (*ipc.Client).Code)
		},
	}
}

func (a *app) rejectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reject CONNECTOR [USER]",
		Short: "Report that Profit refused the token",
		Long: `Report that Profit refused the token with 401. The service asks Profit whether that is
so, and if it is, for a code towards a new one.`,
		Example:           "  profitctl reject payroll",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeEntries(ipc.Active),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.change("reject", args, (*ipc.Client).Reject)
		},
	}
}

// change makes a call about the one entry that the arguments name, and prints where that stands afterwards.
func (a *app) change(command string, args []string, call func(*ipc.Client, context.Context, ipc.Ref) (ipc.Entry, error)) error {
	ctx, cancel := within(slow)
	defer cancel()
	service := a.service()
	ref, err := find(ctx, service, command, args)
	if err != nil {
		return err
	}
	entry, err := call(service, ctx, ref)
	if err != nil {
		return err
	}
	return a.result(settled(service, entry))
}

// settled is the entry once Profit has answered, or has not for a while: whoever asks for a code wants to know whether
// it was mailed.
func settled(service *ipc.Client, entry ipc.Entry) ipc.Entry {
	ctx, cancel := within(quick)
	defer cancel()
	underWay := func() bool {
		return entry.State == ipc.Requesting && (entry.NextAttemptAt == nil || !entry.NextAttemptAt.After(time.Now()))
	}
	if !underWay() {
		return entry
	}
	for event, err := range service.Watch(ctx) {
		if err != nil {
			break
		}
		for _, e := range entriesOf(event) {
			if refOf(e) == refOf(entry) {
				entry = e
			}
		}
		if !underWay() {
			break
		}
	}
	return entry
}

// result prints where the entry stands after a call, and what to check while a mail is awaited. Blocked is a failure:
// Profit refused what was asked.
func (a *app) result(e ipc.Entry) error {
	if a.asJSON {
		a.json(e)
	}
	if e.State == ipc.Blocked {
		return &failure{exitPending, refOf(e).String() + " is blocked: Profit refused.",
			[]string{note(e), "When that is mended in Profit: " + commandFor("code", e)}}
	}
	if a.asJSON {
		return nil
	}
	a.stands(e)
	if e.State == ipc.AwaitingCode {
		for _, line := range noMail(e) {
			a.printf("%s\n", line)
		}
	}
	return nil
}
