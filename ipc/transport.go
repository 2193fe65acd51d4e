package ipc

import (
	"context"
	"net"
	"os"
)

// DefaultSocket is where the service listens: what the environment variable PROFITD_SOCKET names, else
// /run/profitd/profitd.sock, on macOS /var/run/profitd/profitd.sock, on Windows \\.\pipe\profitd.
func DefaultSocket() string {
	if path := os.Getenv("PROFITD_SOCKET"); path != "" {
		return path
	}
	return systemSocket
}

// Listen makes the service's socket, which anyone may connect to. Its directory is made when it is not there (but not
// what lies above it), and must not be writable by others.
//
// Two services on one socket are impossible: the lock file beside it (the path with ".lock") is held until Close, and
// a socket that somebody still answers on is left alone. One that a service left behind is replaced. The socket is
// bound under another name and moved into place when its rights are set, so that it is never reachable with others.
// Close removes the socket, if it is still this one, and the lock.
//
// On Windows it makes a named pipe, of which nobody else has made an instance before or can make one after; whoever
// has logged on to this computer may connect, nobody from another.
func Listen(path string) (net.Listener, error) { return listen(path) }

// dial connects to the service and makes sure that it is the service; see ClientOptions.
func dial(ctx context.Context, options ClientOptions) (net.Conn, error) {
	conn, err := dialSocket(ctx, options.Socket)
	if err != nil {
		return nil, err
	}
	if err := checkServer(conn, options); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
