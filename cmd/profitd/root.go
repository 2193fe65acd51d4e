package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

// execute does what the arguments ask for and returns the exit code.
func execute(root *cobra.Command) int {
	began := false // a command has begun: what goes wrong from here on is not the command line's fault
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	command, err := root.ExecuteC()
	switch {
	case err == nil:
		return 0
	case began:
		fmt.Fprintln(os.Stderr, "profitd: "+printable(err.Error()))
		return exitFailure
	}
	fmt.Fprintf(os.Stderr, "profitd: %s\n%s --help shows how it is used.\n", printable(err.Error()), command.CommandPath())
	return exitUsage
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
	root.AddCommand(runCommand(), demoCommand(), checkCommand(), versionCommand())
	root.AddCommand(installCommands()...)
	return root
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
