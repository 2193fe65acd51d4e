package main

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

// app is what the commands share.
type app struct {
	*ui
	socket string // of --socket
	began  bool   // a command has begun: what goes wrong from here on is not the command line's fault
}

// run does what the arguments ask for and returns the exit code.
func run(args []string) int {
	a := &app{ui: newUI()}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	command, err := root.ExecuteC()
	if err != nil && !a.began {
		err = misused(command, err)
	}
	if flushed := a.flush(); err == nil {
		err = flushed
	}
	if err == nil {
		return exitDone
	}
	return a.fail(err)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "profitctl",
		Short: "Look after the Profit tokens of this device",
		Long: `profitctl talks to profitd, the service that gets this device's Profit tokens, keeps
them in the secure keystore, and hands them to the applications that may have them.

Environment:
  PROFITD_SOCKET  where the service listens, when it is not at its usual place
  NO_COLOR        set to anything: no colours`,
		Example: `  profitctl list                    what there is, and what waits for a code
  profitctl activate                enter the code that Profit mailed
  curl -H "Authorization: $(profitctl token payroll)" …`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.began = true
		},
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "where the service listens `PATH`")
	root.PersistentFlags().BoolVar(&a.asJSON, "json", false, "print the API's JSON, for programs")
	root.AddCommand(
		a.tokenCommand(), a.listCommand(), a.activateCommand(), a.codeCommand(), a.rejectCommand(), a.resetCommand(),
		a.statusCommand(), a.whoamiCommand(), a.explainCommand(), a.watchCommand(), a.versionCommand(),
		exitCodesTopic())
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of profitctl",
		Long:    "Print the version of profitctl. That of the service is in profitctl status.",
		Example: "  profitctl version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.asJSON {
				a.json(map[string]string{"version": version()})
			} else {
				a.printf("profitctl %s\n", version())
			}
			return nil
		},
	}
}

// release is the version that packaging/build was asked for; it sets this with the linker.
var release string

// version is that of the release, else what the Go command wrote into the program.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// show makes a call that the service answers within the time, and prints the answer: as JSON, or as print does it.
func show[Answer any](a *app, patience time.Duration, call func(*ipc.Client, context.Context) (Answer, error), print func(Answer)) error {
	ctx, cancel := within(patience)
	defer cancel()
	answer, err := call(a.service(), ctx)
	if err != nil {
		return err
	}
	if a.asJSON {
		a.json(answer)
	} else {
		print(answer)
	}
	return nil
}

func (a *app) service() *ipc.Client {
	return ipc.NewClient(ipc.ClientOptions{Socket: a.socket})
}

// How long the service may take. Most calls it answers from memory; some it answers when Profit has, which may take
// two minutes twice over.
const (
	quick = 10 * time.Second
	slow  = 5 * time.Minute
)

// within returns a context for calls that the service answers within the time, or not at all.
func within(patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), patience, &failure{
		exit:   exitUnreachable,
		detail: "profitd takes the call but does not answer.",
		next:   []string{"Look at what the service logs; starting it anew loses nothing."},
	})
}
