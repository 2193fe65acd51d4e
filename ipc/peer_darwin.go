package ipc

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// credentialsOf asks the kernel who is at the other end of the connection. See LOCAL_PEERCRED and LOCAL_PEERPID in
// unix(4); the first of the groups is the primary one, and there are at most 16.
func credentialsOf(conn net.Conn) (credentials, error) {
	c := credentials{uid: noID, gid: noID}
	var inner error
	err := control(conn, func(fd uintptr) {
		var cred *unix.Xucred
		cred, inner = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if inner != nil {
			return
		}
		c.uid, c.groups = cred.Uid, cred.Groups[:min(max(cred.Ngroups, 0), 16)]
		if len(c.groups) > 0 {
			c.gid = c.groups[0]
		}
		c.pid, inner = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	})
	return c, errors.Join(err, inner)
}

// program is not told: without LOCAL_PEERTOKEN a process id proves nothing.
func program(net.Conn, credentials) string { return "" }

// There are no user namespaces on macOS; nobody is (uid_t)-2.
func overflowUID() uint32 { return ^uint32(0) - 1 }
func overflowGID() uint32 { return ^uint32(0) - 1 }
