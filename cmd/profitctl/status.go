package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show how the service is",
		Long: `Show how the service is. With --check the exit code is 0 only when the configuration
files on disk are in force and the keystore is healthy: what a roll-out asks.`,
		Example: "  profitctl status\n  profitctl status --check && echo rolled out",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var status ipc.Status
			err := show(a, quick, func(service *ipc.Client, ctx context.Context) (answer ipc.Status, err error) {
				status, err = service.Status(ctx)
				return status, err
			}, a.status)
			if err == nil && check {
				err = problemOf(status)
			}
			return err
		},
	}
	command.Flags().BoolVar(&check, "check", false, "fail unless all is well")
	return command
}

// problemOf is what keeps the service from being as it should.
func problemOf(status ipc.Status) error {
	switch c, k := status.Configuration, status.Keystore; {
	case c.Refused || c.LoadedAt == nil:
		return &failure{exitFailure, "The configuration files on disk are not in force.",
			[]string{"sudo profitd check shows what is wrong with them."}}
	case !k.Healthy:
		return &failure{exitUnavailable, "The keystore is not healthy: " + k.Detail,
			[]string{"The service tries again by itself, and logs what happens."}}
	}
	return nil
}

func (a *app) status(s ipc.Status) {
	inForce := cell{"in force", green}
	loaded := "never loaded"
	if s.Configuration.LoadedAt != nil {
		loaded = "loaded " + when(*s.Configuration.LoadedAt) + ", SHA-256 " + s.Configuration.SHA256
	}
	if s.Configuration.Refused || s.Configuration.LoadedAt == nil {
		inForce = cell{"the files on disk are not in force", red}
	}
	health := cell{"healthy", green}
	if !s.Keystore.Healthy {
		health = cell{"not healthy", red}
	}
	rows := [][]cell{
		fact("service", fmt.Sprintf("profitd %s, API %s, up %s", s.Version, strings.Join(s.API, " "),
			time.Duration(s.UptimeSeconds)*time.Second)),
		{{"configuration", faint}, inForce},
		fact("", loaded),
	}
	for line := range strings.Lines(s.Configuration.Why) {
		rows = append(rows, fact("", line))
	}
	for _, file := range s.Configuration.Files {
		rows = append(rows, fact("", file))
	}
	for _, warning := range s.Configuration.Warnings {
		rows = append(rows, fact("", "warning: "+warning))
	}
	rows = append(rows, []cell{{"keystore", faint}, health},
		fact("", s.Keystore.Backend+", key: "+s.Keystore.Key),
		fact("", s.Keystore.Detail),
		fact("entries", counts(s.Entries)))
	a.table(rows)
}

// counts is for example "2 active, 1 awaiting_code".
func counts(entries map[ipc.State]int) string {
	var parts []string
	for state, count := range entries {
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, state))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
