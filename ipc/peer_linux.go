package ipc

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// credentialsOf asks the kernel who is at the other end of the connection: the process that connected, or, asked by a
// client, the one that listens. See SO_PEERCRED in unix(7); SO_PEERGROUPS, of Linux 4.13, is documented nowhere.
func credentialsOf(conn net.Conn) (credentials, error) {
	// One variable for the closure, since this is done for each connection.
	var found struct {
		credentials
		err error
	}
	err := control(conn, func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			found.err = os.NewSyscallError("getsockopt SO_PEERCRED", err)
			return
		}
		found.uid, found.gid, found.pid = cred.Uid, cred.Gid, int(cred.Pid)
		found.groups, found.err = peerGroups(fd)
	})
	return found.credentials, errors.Join(err, found.err)
}

func peerGroups(fd uintptr) ([]uint32, error) {
	for count := 32; ; {
		groups := make([]uint32, count)
		size := uint32(count) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case unix.ERANGE: // size is now what is needed
			count = int(size / 4)
		case unix.ENOPROTOOPT: // an older kernel
			return nil, nil
		default:
			return nil, os.NewSyscallError("getsockopt SO_PEERGROUPS", errno)
		}
	}
}

// program returns the path of the program that connected, or nothing where that cannot be proved: a pidfd
// (SO_PEERPIDFD, Linux 6.5) stands for the process itself, so while it lives its id is not another's.
func program(conn net.Conn, c credentials) (path string) {
	_ = control(conn, func(fd uintptr) {
		pidfd, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if err != nil {
			return
		}
		defer unix.Close(pidfd)
		link, err := os.Readlink("/proc/" + strconv.Itoa(c.pid) + "/exe")
		if err != nil {
			return
		}
		// A signal 0 that may not be sent was for a process that lives.
		if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err == nil || errors.Is(err, unix.EPERM) {
			path = link
		}
	})
	return path
}

// overflowUID and overflowGID are what the kernel calls everybody who has no number in our user namespace; see
// user_namespaces(7).
var (
	overflowUID = sync.OnceValue(func() uint32 { return overflow("/proc/sys/kernel/overflowuid") })
	overflowGID = sync.OnceValue(func() uint32 { return overflow("/proc/sys/kernel/overflowgid") })
)

func overflow(path string) uint32 {
	text, _ := os.ReadFile(path)
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 65534 // as every kernel has it unless told otherwise
	}
	return uint32(id)
}
