package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) resetCommand() *cobra.Command {
	var all, yes, noEnrol bool
	request := ipc.DefaultReset
	command := &cobra.Command{
		Use:   "reset CONNECTOR [USER] | --all",
		Short: "Throw a token away and begin anew",
		Long: `Throw a token away and begin anew: it is deleted from the keystore, and Profit is asked
for a code towards a new one. In Profit the old token remains, unless --revoke deletes
it there too.`,
		Example: `  profitctl reset payroll 12345.jan --dry-run
  profitctl reset payroll 12345.jan --revoke
  profitctl reset --all --no-enrol --yes`,
		Args: func(command *cobra.Command, args []string) error {
			if all {
				return cobra.NoArgs(command, args)
			}
			return cobra.RangeArgs(1, 2)(command, args)
		},
		ValidArgsFunction: a.completeEntries(),
		RunE: func(_ *cobra.Command, args []string) error {
			request.Enrol = !noEnrol
			if all {
				return a.resetAll(request, yes)
			}
			return a.reset(request, args)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&request.Revoke, "revoke", false, "also delete the token in Profit")
	flags.BoolVar(&noEnrol, "no-enrol", false, "do not ask for a new code")
	flags.BoolVar(&request.DryRun, "dry-run", false, "say what would happen, and do nothing")
	flags.BoolVar(&all, "all", false, "everything that this account sees in profitctl list")
	flags.BoolVar(&yes, "yes", false, "with --all: do not ask whether that is meant")
	return command
}

func (a *app) reset(request ipc.ResetRequest, args []string) error {
	ctx, cancel := within(slow)
	defer cancel()
	service := a.service()
	ref, err := find(ctx, service, "reset", args)
	if err != nil {
		return err
	}
	receipt, err := service.Reset(ctx, ref, request)
	if err != nil {
		return err
	}
	if a.asJSON {
		a.json(receipt)
	} else {
		a.receipt(receipt)
	}
	return nil
}

// resetAll goes on when one fails, and ends with the first error.
func (a *app) resetAll(request ipc.ResetRequest, yes bool) error {
	ctx, cancel := within(quick)
	defer cancel()
	service := a.service()
	entries, err := service.Entries(ctx)
	if err != nil {
		return err
	}
	if !yes && !request.DryRun && len(entries) > 0 {
		if err := a.confirm(entries); err != nil {
			return err
		}
	}
	var first error
	for _, e := range entries {
		if err := a.reset(request, []string{e.Connector, e.User}); err != nil {
			if first == nil {
				first = err
				continue
			}
			a.fail(err)
		}
	}
	return first
}

func (a *app) confirm(entries []ipc.Entry) error {
	if !a.asks {
		return usage("Without a terminal there is nobody to ask whether everything is to be reset.",
			"Look with --dry-run first, then say --yes.")
	}
	for _, e := range entries {
		a.warnf("  %s %s\n", refOf(e), e.State)
	}
	answer := a.ask("Reset " + strconv.Itoa(len(entries)) + "? Type yes:")
	if !strings.EqualFold(answer, "yes") {
		return &failure{exitFailure, "Nothing was reset.", []string{"profitctl reset CONNECTOR USER resets a single one."}}
	}
	return nil
}

func (a *app) receipt(r ipc.Receipt) {
	title := refOf(r.After).String()
	if r.DryRun {
		title += ": this would happen"
	}
	a.printf("%s\n", title)
	a.table([][]cell{
		fact("  before", string(r.Before.State)),
		fact("  after", strings.TrimSuffix(string(r.After.State)+": "+note(r.After), ": ")),
		fact("  token", deleted(r)),
		fact("  in Profit", r.LeftInProfit),
	})
}

func deleted(r ipc.Receipt) string {
	here, there := "none was on this device", ""
	if r.DeletedHere {
		here = "deleted from this device"
	}
	if r.DeletedInProfit {
		there = ", deleted in Profit"
	}
	return here + there
}
