package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "profitd",
		Short: "The service that holds this device's Profit tokens",
		Long: `profitd obtains tokens of AFAS Profit through its one-time-password flow, keeps them in
the secure keystore, and hands them to the local applications that may have them.
People and applications talk to it with profitctl or over its socket.`,
		Example: `  profitd demo                      watch the whole job, with a simulated Profit
  sudo profitd check                is the configuration in order?
  sudo profitd run                  run in the foreground`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("profitd {{.Version}}\n")
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nprofitd %s --help shows how it is used", err, command.Name())}
	})
	root.AddCommand(runCommand(), demoCommand(), checkCommand(), versionCommand())
	root.AddCommand(installCommands()...)
	for _, command := range root.Commands() {
		command.Args = misused(command.Args)
	}
	return root
}

// misused makes an error about arguments one about the use.
func misused(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return usageError{fmt.Errorf("%w\nprofitd %s --help shows how it is used", err, command.Name())}
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  profitd version",
		Args:    cobra.NoArgs,
		Run: func(command *cobra.Command, _ []string) {
			fmt.Fprintln(command.OutOrStdout(), "profitd", version())
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

// logLevel is what --verbose means.
func logLevel(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
