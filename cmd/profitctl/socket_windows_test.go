package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/profitd/profitd/ipc"
)

// listen listens on a pipe of the script's own. Wine lets a client connect to the instance of a pipe that winio makes
// first and never serves, so there one is thrown away.
func listen(workDir string) (net.Listener, error) {
	listener, err := ipc.Listen(fmt.Sprintf(`\\.\pipe\profitctl-test-%d-%s`, os.Getpid(), filepath.Base(workDir)))
	if err == nil && windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		var conn net.Conn
		if conn, err = dial(listener.Addr().String()); err == nil {
			err = conn.Close()
		}
	}
	return listener, err
}

func dial(path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return winio.DialPipeAccessImpLevel(ctx, path, windows.GENERIC_READ|windows.GENERIC_WRITE, winio.PipeImpLevelIdentification)
}
