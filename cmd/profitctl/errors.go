package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

// The exit codes, for scripts. exitCodesTopic explains them to people.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2
	exitDenied      = 3
	exitActivation  = 4
	exitPending     = 5
	exitUnreachable = 6
	exitUnavailable = 7
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes:
  0    done
  1    failed in another way
  2    the command line makes no sense, or leaves open which user is meant
  3    this account has no right to it, or the system cannot say which account it is
  4    an activation code is needed: none was entered yet, or it was not accepted
  5    there is no token yet, or Profit refused to make one
  6    the service cannot be reached
  7    Profit or the keystore is not available, or too much was asked: try again later
  130  interrupted with Ctrl-C, as shells count it`,
	}
}

// failure is an error of profitctl's own.
type failure struct {
	exit   int
	detail string   // what failed and why
	next   []string // what to do next, line by line
}

func (f *failure) Error() string { return f.detail + "\n" + strings.Join(f.next, "\n") }

func usage(detail string, next ...string) error {
	return &failure{exitUsage, detail, next}
}

// misused makes a usage error of one of cobra's, which come with suggestions on further lines.
func misused(command *cobra.Command, err error) error {
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	detail, suggestion, _ := strings.Cut(err.Error(), "\n")
	next := []string{"How it is used: " + command.CommandPath() + " --help"}
	if words := strings.Fields(suggestion); len(words) > 0 {
		next = append([]string{strings.Join(words, " ")}, next...)
	}
	return usage(detail, next...)
}

// answer is how profitctl exits, and what to do next when the service does not say.
type answer struct {
	exit int
	hint string
}

var answers = map[ipc.ErrorCode]answer{
	ipc.InvalidRequest: {exitUsage, "profitctl help shows how it is used. Are profitctl and profitd of one version?"},
	ipc.AmbiguousUser:  {exitUsage, "profitctl list shows the users: name one of them."},
	ipc.Unidentified:   {exitDenied, "Call from an account of this device, not from inside a container."},
	ipc.Denied: {exitDenied, "profitctl whoami shows how the service sees this account, " +
		"profitctl explain CONNECTOR USER what would have to change."},
	ipc.ActivationRequired:  {exitActivation, "Enter the code that Profit mailed: profitctl activate"},
	ipc.InvalidCode:         {exitActivation, "Enter the code from the newest mail: profitctl activate"},
	ipc.Pending:             {exitPending, "profitctl list shows where it stands, profitctl token --wait 60s waits for it."},
	ipc.BlockedByProfit:     {exitPending, "profitctl list shows what Profit said. When that is mended: profitctl code CONNECTOR USER"},
	ipc.TooManyRequests:     {exitUnavailable, "Wait a little before asking again."},
	ipc.ProfitUnavailable:   {exitUnavailable, "Try again later; the service does so by itself as well."},
	ipc.KeystoreUnavailable: {exitUnavailable, "profitctl status shows what is wrong with the keystore."},
}

// describe makes of any error what a person needs to know.
func describe(err error) *failure {
	var own *failure
	var problem *ipc.Error
	var unreachable *ipc.UnreachableError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &problem):
		known, ok := answers[problem.Code]
		if !ok {
			known = answer{exitFailure, "Look at what the service logs; profitctl status shows how it is."}
		}
		next := []string{cmp.Or(problem.Hint, known.hint)}
		if problem.RetryAfter > 0 {
			next = append(next, fmt.Sprintf("Try again in %s at the earliest.", problem.RetryAfter))
		}
		return &failure{known.exit, cmp.Or(problem.Detail, problem.Title, string(problem.Code)), next}
	case errors.As(err, &unreachable):
		return &failure{exitUnreachable, unreachable.Detail, []string{
			unreachable.Hint,
			"Whether it runs: systemctl status profitd (Linux), sc query profitd (Windows), launchctl list (macOS).",
		}}
	}
	return &failure{exitFailure, err.Error(), []string{"profitctl help shows what there is."}}
}

// fail reports the error on standard error and returns the exit code. For programs it is a problem of the API, or
// one of the same form without a code.
func (a *app) fail(err error) int {
	what := describe(err)
	var problem *ipc.Error
	switch {
	case a.asJSON && errors.As(err, &problem):
		a.err.Write(toJSON(problem, false))
	case a.asJSON:
		a.err.Write(toJSON(map[string]string{"detail": what.detail, "hint": strings.Join(what.next, "\n")}, false))
	default:
		a.warnf("profitctl: %s\n", what.detail)
		for _, line := range what.next {
			a.warnf("%s\n", line)
		}
	}
	return what.exit
}
