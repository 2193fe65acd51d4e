package service

import (
	"errors"
	"fmt"

	"github.com/kardianos/service"
)

// Install has the system start the service when it starts, and start it again when it fails. What is installed
// already is brought to what o says. It does not start the service.
func Install(o Options) error {
	o = o.withDefaults()
	if err := install(o); err != nil {
		return fmt.Errorf("cannot install the service: %w", err)
	}
	return nil
}

// Uninstall undoes Install, after Stop. Configuration, state and tokens stay.
func Uninstall(o Options) error {
	o = o.withDefaults()
	if err := uninstall(o); err != nil {
		return fmt.Errorf("cannot uninstall the service: %w", err)
	}
	return nil
}

// Account is the account that the installed service runs as, to give it what it needs.
func Account(o Options) (string, error) {
	account, err := accountOf(o.withDefaults())
	if err != nil {
		return "", fmt.Errorf("cannot tell which account the service runs as: %w", err)
	}
	return account, nil
}

// Start has the system start the service.
func Start(o Options) error {
	o = o.withDefaults()
	s, err := controlled(o, nil)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start the service: %w; %s", err, lookFor(o))
	}
	return nil
}

// Stop has the system stop the service, and waits until it has, for StopTimeout and a little more.
func Stop(o Options) error {
	o = o.withDefaults()
	if err := stop(o); err != nil {
		return fmt.Errorf("cannot stop the service: %w; %s", err, lookFor(o))
	}
	return nil
}

// controlled is the service as the system knows it, to be installed, started and stopped.
func controlled(o Options, option service.KeyValue) (service.Service, error) {
	s, err := service.New(nil, &service.Config{
		Name:        o.Name,
		DisplayName: o.DisplayName,
		Description: o.Description,
		Arguments:   o.Arguments,
		UserName:    o.Account,
		Option:      option,
	})
	if errors.Is(err, service.ErrNoServiceSystemDetected) {
		return nil, errors.New("this system has no service manager; run `profitd run` from what starts things here")
	}
	return s, err
}
