package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

const maxWait = 5 * time.Minute // the API's

func (a *app) tokenCommand() *cobra.Command {
	var format string
	var wait time.Duration
	command := &cobra.Command{
		Use:   "token CONNECTOR [USER]",
		Short: "Print the token, as an application needs it",
		Long: `Print the token, as an application needs it. USER can be left out when this account
has one user of the connector.

Formats:
  authorization  the value of the header Authorization
  token          the token's XML, without a line end in it
  json           all there is: base URL, every header, token (same as --json)

--wait waits while Profit is asked for a code or tries one, not for a person to enter it.`,
		Example: `  profitctl token payroll
  profitctl token payroll 12345.jan --wait 60s --format json
  curl -H "Authorization: $(profitctl token payroll)" https://12345.rest.afas.online/ProfitRestServices/ProfitVersion`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeEntries(),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.token(ipc.Ref{Connector: args[0], User: strings.Join(args[1:], "")}, format, wait)
		},
	}
	command.Flags().StringVar(&format, "format", "authorization", "authorization, token or json `FORMAT`")
	command.Flags().DurationVar(&wait, "wait", 0, "how long to wait for a token, up to 5m `TIME`")
	formats := cobra.FixedCompletions([]string{"authorization", "token", "json"}, cobra.ShellCompDirectiveNoFileComp)
	if err := command.RegisterFlagCompletionFunc("format", formats); err != nil {
		panic(err)
	}
	return command
}

func (a *app) token(ref ipc.Ref, format string, wait time.Duration) error {
	if wait < 0 || wait > maxWait {
		return usage("--wait is no time from 0s to 5m.", "For example: --wait 60s")
	}
	a.asJSON = a.asJSON || format == "json"
	if !a.asJSON && format != "authorization" && format != "token" {
		return usage("There is no such format.", "Choose authorization, token or json.")
	}
	ctx, cancel := within(quick + wait)
	defer cancel()
	service := a.service()
	if wait > 0 && a.shows {
		stop := a.showProgress(ctx, service, ref)
		defer stop()
	}
	token, err := service.Token(ctx, ref, ipc.TokenQuery{Wait: wait})
	if err != nil {
		return err
	}
	authorization := token.Headers["Authorization"]
	switch {
	case a.asJSON:
		a.json(token)
	case format == "token":
		a.printf("%s\n", token.Token)
	case authorization != "":
		a.printf("%s\n", authorization)
	default:
		return &failure{exitFailure, "This connector has no header Authorization.", []string{"Use its headers: --format json"}}
	}
	return nil
}

// showProgress tells on standard error what is being waited for, line by line as it changes, until stop is called.
func (a *app) showProgress(ctx context.Context, service *ipc.Client, ref ipc.Ref) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event, err := range service.Watch(ctx) {
			if err != nil {
				return // the call that waits tells what is wrong
			}
			for _, e := range entriesOf(event) {
				if e.Connector == ref.Connector && (ref.User == "" || e.User == ref.User) {
					a.warnf("waiting for %s: %s %s\n", refOf(e), e.State, note(e))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
