package service

import (
	"log/slog"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows/svc/eventlog"
)

// The ids of events. Those of a source registered as Install does it lie between 1 and 1000 and say nothing more than
// the text; an administrator's filter goes by them.
const (
	eventNotice  = 1
	eventWarning = 2
	eventError   = 3
)

// systemHandler writes to the Event Log what is worth an administrator's attention, if the process is a service.
// A service has no standard error, so the rest goes nowhere.
func systemHandler(level slog.Leveler) slog.Handler {
	if service.Interactive() {
		return nil
	}
	events, err := eventlog.Open(name)
	if err != nil {
		return nil
	}
	return newLineHandler(atLeastNotice{level}, func(level slog.Level, line string, _ map[string]string) error {
		switch {
		case level >= slog.LevelError:
			return events.Error(eventError, line)
		case level >= slog.LevelWarn:
			return events.Warning(eventWarning, line)
		}
		return events.Info(eventNotice, line)
	})
}

type atLeastNotice struct{ slog.Leveler }

func (l atLeastNotice) Level() slog.Level { return max(LevelNotice, l.Leveler.Level()) }
