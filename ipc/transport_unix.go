//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// listener is a socket that is at its final path, with the lock that makes it the only one there.
type listener struct {
	*net.UnixListener
	path string
	made fs.FileInfo // the socket as it was made, to know it again
	lock *os.File
}

func listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("cannot listen on %s: the path has %d bytes, a socket's can have %d. Choose a shorter one", path, len(path), maxPath)
	}
	if err := prepareDirectory(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	l, err := bind(path)
	if err != nil {
		releaseLock(lock)
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	l.lock = lock
	return l, nil
}

// bind makes the socket under another name, sets its rights and moves it into place. The caller holds the lock.
func bind(path string) (*listener, error) {
	if err := checkUnused(path); err != nil {
		return nil, err
	}
	temporary := path + "~"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	socket.SetUnlinkOnClose(false)
	err = os.Chmod(temporary, 0o666)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	var made fs.FileInfo
	if err == nil {
		made, err = os.Lstat(path)
	}
	if err != nil {
		socket.Close()
		os.Remove(temporary)
		return nil, err
	}
	return &listener{UnixListener: socket, path: path, made: made}, nil
}

// Addr is where clients find the socket; the system only knows the name it was bound under.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	if found, err := os.Lstat(l.path); err == nil && os.SameFile(found, l.made) {
		os.Remove(l.path)
	}
	err := l.UnixListener.Close()
	releaseLock(l.lock)
	return err
}

// prepareDirectory makes the socket's directory if need be, and refuses one in which others could replace the socket.
func prepareDirectory(directory string) error {
	switch err := os.Mkdir(directory, 0o755); {
	case err == nil:
		if err := os.Chmod(directory, 0o755); err != nil { // whatever the umask
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	var stat unix.Stat_t
	if err := unix.Stat(directory, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: directory, Err: err}
	}
	if stat.Mode&0o022 != 0 {
		return fmt.Errorf("others can write to its directory. Mend that with: chmod go-w %s", directory)
	}
	if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("its directory belongs to another account. Mend that with: chown %d %s", os.Geteuid(), directory)
	}
	return nil
}

// lockFile takes the lock, or says that somebody has it. A lock file that its holder removed before we had the lock
// is of no use: then the next one is tried.
func lockFile(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, errors.New("another profitd has it. Stop that one first: profitd stop")
			}
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		ours, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		if there, err := os.Lstat(path); err == nil && os.SameFile(ours, there) {
			return file, nil
		}
		file.Close()
	}
}

func releaseLock(lock *os.File) {
	os.Remove(lock.Name())
	lock.Close()
}

// checkUnused refuses to replace what is no socket, and a socket on which somebody answers. The lock keeps other
// services away; this keeps everything else from losing its socket.
func checkUnused(path string) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file of that name that is no socket. Move it away")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return errors.New("another program answers on it. Stop that one first")
	}
	return nil
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// checkServer returns an UnreachableError unless the process that listens is one of those that ClientOptions names.
func checkServer(conn net.Conn, options ClientOptions) error {
	server, err := credentialsOf(conn)
	if err != nil {
		return fmt.Errorf("cannot tell who listens: %w", err)
	}
	allowed := server.uid == 0
	switch {
	case allowed || server.unidentified():
	case options.ServerAccount != "":
		uid, err := lookupAccount(options.ServerAccount)
		if err != nil {
			return err
		}
		allowed = server.uid == uid
	default:
		allowed = int(server.uid) == os.Geteuid() || ownsDirectory(server.uid, filepath.Dir(options.Socket))
	}
	if allowed {
		return nil
	}
	return &UnreachableError{
		Socket: options.Socket,
		Detail: fmt.Sprintf("What listens on %s runs as %s, which is not the account of profitd. Nothing was sent to it.", options.Socket, uidForm(server.uid)),
		Hint:   "Is PROFITD_SOCKET right? If it is, tell whoever looks after this device.",
	}
}

// ownsDirectory says whether root gave the directory to the account: the account owns it, and neither it nor what
// lies above it, which is root's, can be written to by others.
func ownsDirectory(uid uint32, directory string) bool {
	directory, err := filepath.Abs(directory)
	if err == nil {
		directory, err = filepath.EvalSymlinks(directory)
	}
	if err != nil {
		return false
	}
	for owner := uid; ; owner = 0 {
		var stat unix.Stat_t
		err := unix.Stat(directory, &stat)
		if err != nil || stat.Uid != owner || stat.Mode&0o022 != 0 {
			return false
		}
		if directory == "/" {
			return true
		}
		directory = filepath.Dir(directory)
	}
}
