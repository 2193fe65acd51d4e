package service

import (
	"os"
	"time"

	"github.com/kardianos/service"
)

// shutdownTimeout is how long Windows, when it goes down, waits for services before it kills them.
const shutdownTimeout = 5 * time.Second

// runManaged runs p for the Service Control Manager, if that started this process.
func runManaged(o Options, p Program) (managed bool, err error) {
	if service.Interactive() {
		return false, nil
	}
	m := &managedProgram{o: o, p: p}
	s, err := service.New(m, &service.Config{Name: o.Name})
	if err != nil {
		return true, err
	}
	if err := s.Run(); err != nil {
		return true, err
	}
	return true, m.stopErr
}

// managedProgram is a Program in the shape that kardianos/service wants.
type managedProgram struct {
	o       Options
	p       Program
	running *running
	stopErr error
}

// Start implements service.Interface. It returns at once: the Service Control Manager waits for it, and the whole
// machine's start may.
func (m *managedProgram) Start(service.Service) error {
	m.running = start(m.o, m.p)
	go func() {
		<-m.running.ended
		if m.running.n.ctx.Err() != nil {
			return // it was asked to
		}
		// kardianos/service would go on saying that the service runs. A process that ends without having said that
		// it stops has crashed in the eyes of the Service Control Manager, which then does what recovery says.
		m.o.Log.Error("the service ended", "error", m.running.outcome())
		os.Exit(1)
	}()
	return nil
}

// Stop implements service.Interface. It returns no error: to the Service Control Manager a service that fails as it
// stops is one to be started again, and somebody asked for it to stop.
func (m *managedProgram) Stop(service.Service) error { return m.stopWithin(m.o.StopTimeout) }

// Shutdown implements service.Shutdowner.
func (m *managedProgram) Shutdown(service.Service) error {
	return m.stopWithin(min(m.o.StopTimeout, shutdownTimeout))
}

func (m *managedProgram) stopWithin(timeout time.Duration) error {
	m.stopErr = m.running.stop(timeout, nil)
	m.o.Log.Log(m.running.n.ctx, LevelNotice, "the service has stopped")
	return nil
}
