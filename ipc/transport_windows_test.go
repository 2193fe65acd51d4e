package ipc

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

var pipes atomic.Int64

// socketPath returns the name of a pipe that nobody has.
func socketPath(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf(`%sprofitd-test-%d-%d`, pipePrefix, os.Getpid(), pipes.Add(1))
}

// listenOn listens. Wine lets a client connect to the instance of a pipe that winio makes first and never serves, so
// there one is thrown away.
func listenOn(t testing.TB, path string) net.Listener {
	t.Helper()
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		connect(t, path).Close()
	}
	return listener
}

func connect(t testing.TB, path string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := winio.DialPipeAccessImpLevel(ctx, path, clientAccess, winio.PipeImpLevelIdentification)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
