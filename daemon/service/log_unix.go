//go:build unix

package service

import (
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
)

// systemHandler writes to the journal if standard error is connected to it, which is how systemd starts a service.
func systemHandler(level slog.Leveler) slog.Handler {
	if connected, err := journal.StderrIsJournalStream(); err != nil || !connected || !journal.Enabled() {
		return nil
	}
	return newLineHandler(level, func(level slog.Level, line string, fields map[string]string) error {
		fields["SYSLOG_IDENTIFIER"] = name
		if err := journal.Send(line, priority(level), fields); err != nil {
			_, err = os.Stderr.WriteString(line + "\n")
			return err
		}
		return nil
	})
}

func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= LevelNotice:
		return journal.PriNotice
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
