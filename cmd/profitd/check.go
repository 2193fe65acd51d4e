package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/daemon/config"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether the configuration is in order",
		Long: `Say whether the configuration is in order, without state or network. Every problem is a
line FILE:LINE:COLUMN: what is wrong; the exit code is 0 only if there is none.

Without FILE it is the installed configuration, with the rights of its files. With FILE
it is that file in place of the installed config.toml, before it is put there: config.d
and relative paths are those of the installed folder, and rights are left out.`,
		Example: "  sudo profitd check\n  profitd check ./config.toml.new",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			installed := servicePaths().config
			options := config.Options{Dir: filepath.Dir(installed)}
			file := installed
			if len(args) == 1 {
				file = args[0]
				options.SkipRights = filepath.Clean(file) != installed
			}
			conf, err := config.Load(file, options)
			if err != nil {
				return fmt.Errorf("the configuration is not in order:\n%w", err)
			}
			for _, warning := range conf.Warnings {
				fmt.Fprintln(command.ErrOrStderr(), printable("warning: "+warning))
			}
			users := 0
			for _, connector := range conf.Connectors {
				users += len(connector.Users)
			}
			fmt.Fprintf(command.OutOrStdout(), "The configuration is in order: %s, %s.\n",
				count(len(conf.Connectors), "connector"), count(users, "line of users", "lines of users"))
			return nil
		},
	}
}

// count is "1 connector" or "2 connectors".
func count(n int, one string, many ...string) string {
	if n == 1 {
		return "1 " + one
	}
	if len(many) > 0 {
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}
