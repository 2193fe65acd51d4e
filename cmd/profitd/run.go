package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/daemon"
	"github.com/profitd/profitd/daemon/service"
)

// runFlags are the flags of run; install keeps them for the service.
type runFlags struct {
	paths
	user    bool
	verbose bool
}

func (f *runFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.config, "config", "", "take the configuration from `FILE` and config.d beside it (default "+servicePaths().config+")")
	flags.StringVar(&f.state, "state-dir", "", "keep the state in `DIR` (default "+servicePaths().state+")")
	flags.StringVar(&f.socket, "socket", "", "listen at `PATH` (default "+servicePaths().socket+")")
}

// complete fills in what was not given.
func (f *runFlags) complete() error {
	defaults := servicePaths()
	if f.user {
		var err error
		if defaults, err = userPaths(); err != nil {
			return err
		}
	}
	for _, path := range []struct{ given, normal *string }{
		{&f.config, &defaults.config}, {&f.state, &defaults.state}, {&f.socket, &defaults.socket},
	} {
		if *path.given == "" {
			*path.given = *path.normal
		}
	}
	return nil
}

func runCommand() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use:   "run",
		Short: "Run the service in the foreground",
		Long: `Run the service in the foreground, as systemd, launchd and Windows do. Ctrl-C stops it;
SIGHUP has it look at its configuration, which it also does by itself.

With --user it is one person's own instance: with the settings, the keystore and the
socket of that account, which alone gets its tokens. Programs find it by PROFITD_SOCKET.`,
		Example: "  sudo profitd run\n  profitd run --user\n  profitd run --config ./config.toml --state-dir ./state --socket ./profitd.sock",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return f.run()
		},
	}
	f.add(command)
	command.Flags().BoolVar(&f.user, "user", false, "one person's own instance")
	command.Flags().BoolVar(&f.verbose, "verbose", false, "log every request")
	return command
}

const stopTimeout = 20 * time.Second

func (f *runFlags) run() error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a service that mostly waits has time to spare, and is to be small
	}
	log := service.Logger(logLevel(f.verbose))
	options := daemon.Options{
		ConfigFile: f.config, StateDir: f.state, Socket: f.socket, User: f.user,
		Version: version(), StopTimeout: stopTimeout, Log: log,
	}
	if f.user {
		own, err := ownAccount()
		if err != nil {
			return err
		}
		options.SoleOwner = own
		for _, folder := range []string{filepath.Dir(f.config), f.state} {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
		}
	}
	var d *daemon.Daemon
	program := service.Program{
		Run: func(ctx context.Context, notify *service.Notifier) error {
			options.Changed = notify.Status
			var err error
			if d, err = daemon.New(ctx, options); err != nil {
				return err
			}
			return d.Run(ctx, func() {
				notify.Ready()
				notify.Watchdog(d.Answers)
			})
		},
		Reload: func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			d.Reload(ctx)
		},
	}
	return service.Run(service.Options{StopTimeout: stopTimeout + 5*time.Second, Log: log}, program)
}
