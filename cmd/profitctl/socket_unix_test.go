//go:build unix

package main

import (
	"net"

	"github.com/profitd/profitd/ipc"
)

// listen listens on a socket of the script's own.
func listen(workDir string) (net.Listener, error) { return ipc.Listen(workDir + "/.s/sock") }

func dial(path string) (net.Conn, error) { return net.Dial("unix", path) }
