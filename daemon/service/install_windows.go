package service

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// recovery is what the Service Control Manager does when the service has failed: the first time, the second, and
// from then on, until it has run for a day.
var recovery = []mgr.RecoveryAction{
	{Type: mgr.ServiceRestart, Delay: 2 * time.Second},
	{Type: mgr.ServiceRestart, Delay: 30 * time.Second},
	{Type: mgr.ServiceRestart, Delay: 2 * time.Minute},
}

const recoveryReset = 24 * time.Hour

func install(o Options) error {
	given := o.Account != ""
	if !given {
		o.Account = `NT SERVICE\` + o.Name
	}
	m, err := connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService(o.Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		s, err = create(m, o)
	} else if err == nil {
		err = mend(s, o, given)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.SetRecoveryActions(recovery, uint32(recoveryReset.Seconds())); err != nil {
		return fmt.Errorf("cannot say what happens after a crash: %w", err)
	}
	// Without this an exit with an error counts as the end of work.
	if err := s.SetRecoveryActionsOnNonCrashFailures(true); err != nil {
		return fmt.Errorf("cannot say what happens after a failure: %w", err)
	}
	return nil
}

func create(m *mgr.Mgr, o Options) (*mgr.Service, error) {
	s, err := controlled(o, service.KeyValue{
		"DelayedAutoStart":       true,
		service.StartType:        service.ServiceStartAutomatic,
		service.OnFailure:        service.OnFailureRestart,
		"OnFailureDelayDuration": "2s",
	})
	if err != nil {
		return nil, err
	}
	if err := s.Install(); err != nil {
		return nil, accountHint(o, err)
	}
	return m.OpenService(o.Name)
}

// mend brings a service that is installed already, by the MSI or by an earlier version, to what o says. Its account
// stays unless one was given.
func mend(s *mgr.Service, o Options, account bool) error {
	c, err := s.Config()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	c.BinaryPathName = windows.ComposeCommandLine(append([]string{program}, o.Arguments...))
	c.DisplayName, c.Description = o.DisplayName, o.Description
	c.StartType, c.DelayedAutoStart = mgr.StartAutomatic, true
	if account {
		c.ServiceStartName = o.Account
	}
	if err := s.UpdateConfig(c); err != nil {
		return accountHint(o, err)
	}
	if sourceExists(o.Name) {
		return nil
	}
	if err := eventlog.InstallAsEventCreate(o.Name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
		return fmt.Errorf("cannot register with the Event Log: %w", err)
	}
	return nil
}

// sourceExists tells whether the Event Log knows the source, from the MSI or from an earlier installation.
func sourceExists(source string) bool {
	const sources = `SYSTEM\CurrentControlSet\Services\EventLog\Application\`
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, sources+source, registry.QUERY_VALUE)
	if err != nil {
		return false
	}
	key.Close()
	return true
}

// accountHint says what to do about an account that Windows does not take.
func accountHint(o Options, err error) error {
	switch {
	case errors.Is(err, windows.ERROR_INVALID_SERVICE_ACCOUNT):
		return fmt.Errorf("%w: %s; name a virtual account (NT SERVICE\\%s), a group managed service account (CORP\\name$), "+
			"or install with the default and set account and password in services.msc", err, o.Account, o.Name)
	case errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE):
		return fmt.Errorf("%w; close services.msc and whatever else shows services, and try again", err)
	}
	return err
}

// accountOf is whom the Service Control Manager runs it as, in a form that has a SID.
func accountOf(o Options) (string, error) {
	m, err := connect()
	if err != nil {
		return "", err
	}
	defer m.Disconnect()
	s, err := m.OpenService(o.Name)
	if err != nil {
		return "", err
	}
	defer s.Close()
	c, err := s.Config()
	if err != nil {
		return "", err
	}
	if strings.EqualFold(c.ServiceStartName, "LocalSystem") {
		return "S-1-5-18", nil // the only account that goes by a name of its own there
	}
	return strings.TrimPrefix(c.ServiceStartName, `.\`), nil
}

func connect() (*mgr.Mgr, error) {
	m, err := mgr.Connect()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil, errors.New("this needs an administrator; open the console with `Run as administrator` and try again")
	}
	return m, err
}

func uninstall(o Options) error {
	m, err := connect()
	if err != nil {
		return err
	}
	m.Disconnect()
	if err := stop(o); err != nil {
		return err
	}
	s, err := controlled(o, nil)
	if err != nil {
		return err
	}
	return s.Uninstall()
}

// stop asks the service to stop and waits until it has. kardianos/service would wait without limit.
func stop(o Options) error {
	m, err := connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService(o.Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return fmt.Errorf("there is no service %s; install it with `profitd install`", o.Name)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return err
	}
	deadline := time.Now().Add(o.StopTimeout + 10*time.Second)
	for {
		status, err := s.Query()
		if err != nil {
			return err
		}
		if status.State == svc.Stopped {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it has not stopped within %v; end process %d", o.StopTimeout, status.ProcessId)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lookFor is the next step when starting or stopping has failed.
func lookFor(o Options) string {
	return fmt.Sprintf("see `sc query %s`, and the Application log in eventvwr.msc, source %s", o.Name, o.Name)
}
