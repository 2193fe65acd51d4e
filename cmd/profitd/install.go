package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/daemon/service"
)

// installCommands are for those who use no package; packages bring a unit of their own.
func installCommands() []*cobra.Command {
	var f runFlags
	var account string
	var takeOver bool
	install := &cobra.Command{
		Use:   "install",
		Short: "Install the service of the operating system",
		Long: `Install the service, so that the system starts it at boot and again when it fails. Packages
do this by themselves. What is installed already is brought to what is asked for. It is
not started: profitd start does that.`,
		Example: "  sudo profitd install && sudo profitd start",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return done(command, f.install(account, takeOver), "The service is installed. Start it with: profitd start")
		},
	}
	f.add(install)
	install.Flags().StringVar(&account, "account", "", `the account it runs as (default: one of its own; on Windows NT SERVICE\profitd)`)
	install.Flags().BoolVar(&takeOver, "take-over", false, "on Windows, make folders its own that somebody else has made")
	simple := func(use, short, success string, act func(service.Options) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Example: "  sudo profitd " + use, Args: cobra.NoArgs,
			RunE: func(command *cobra.Command, _ []string) error {
				return done(command, act(service.Options{}), success)
			},
		}
	}
	return []*cobra.Command{
		install,
		simple("uninstall", "Remove the service of the operating system; configuration and tokens stay",
			"The service is removed. Its configuration and tokens are still there.", service.Uninstall),
		simple("start", "Start the installed service", "The service has been started.", service.Start),
		simple("stop", "Stop the installed service", "The service has stopped.", service.Stop),
	}
}

// install installs the service, and makes its folders.
func (f *runFlags) install(account string, takeOver bool) error {
	for _, path := range []*string{&f.config, &f.state} { // the service's working directory is another
		if *path != "" {
			absolute, err := filepath.Abs(*path)
			if err != nil {
				return err
			}
			*path = absolute
		}
	}
	options := service.Options{Arguments: f.arguments(), Account: account}
	if err := service.Install(options); err != nil {
		return err
	}
	account, err := service.Account(options)
	if err != nil {
		return err
	}
	if err := f.complete(); err != nil {
		return err
	}
	return makeFolders(f.paths, account, takeOver)
}

// arguments are those with which the service is to be run.
func (f *runFlags) arguments() []string {
	arguments := []string{"run"}
	for _, flag := range []struct{ name, value string }{
		{"--config", f.config}, {"--state-dir", f.state}, {"--socket", f.socket},
	} {
		if flag.value != "" {
			arguments = append(arguments, flag.name, flag.value)
		}
	}
	return arguments
}

func done(command *cobra.Command, err error, success string) error {
	if err == nil {
		fmt.Fprintln(command.OutOrStdout(), success)
	}
	return err
}
