//go:build unix

package ipc

import (
	"errors"
	"net"
	"syscall"
)

// control calls f with the connection's file descriptor.
func control(conn net.Conn, f func(fd uintptr)) error {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("this connection has no file descriptor")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}
