package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Show how the service sees this account",
		Long: `Show how the service sees this account: every form of its name and of its groups that
a line of the configuration could have.`,
		Example: "  profitctl whoami",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return show(a, quick, (*ipc.Client).Whoami, a.whoami)
		},
	}
}

func (a *app) whoami(who ipc.Whoami) {
	a.table([][]cell{
		fact("accounts", strings.Join(who.Accounts, ", ")),
		fact("groups", strings.Join(who.Groups, ", ")),
		fact("roles", cmp.Or(strings.Join(who.Roles, ", "), "none: the configuration gives this account nothing")),
		fact("program", strings.TrimSpace(who.Program+" (process "+strconv.Itoa(who.PID)+")")),
	})
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain CONNECTOR USER [ACCOUNT]",
		Short: "Explain whether an account may have a token, and why",
		Long: `Explain whether an account may have a token, by which line of which file, and if not,
what would have to change. Without ACCOUNT it is about this account; about others
only the helpdesk may ask. The exit code is 0 whatever the explanation says.`,
		Example:           "  profitctl explain payroll 12345.jan\n  profitctl explain payroll 12345.jan 'CORP\\ria'",
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeEntries(),
		RunE: func(_ *cobra.Command, args []string) error {
			return show(a, quick, func(service *ipc.Client, ctx context.Context) (ipc.Explanation, error) {
				return service.Explain(ctx, ipc.Ref{Connector: args[0], User: args[1]}, strings.Join(args[2:], ""))
			}, a.explanation)
		},
	}
}

func (a *app) explanation(e ipc.Explanation) {
	verdict := cell{"no", red}
	if e.Allowed {
		verdict = cell{"yes", green}
	}
	a.table([][]cell{
		fact("account", e.Account),
		{{"allowed", faint}, verdict},
		fact("why", e.Detail),
		fact("by", e.By),
		fact("to change", e.Change),
	})
}
