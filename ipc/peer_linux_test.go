package ipc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accounts that no machine has.
const (
	strangerUID = 54321
	otherUID    = 54322
)

// dialAs connects as another account. The kernel gives every thread credentials of its own: this one changes them
// without libc, which would change all threads', and is thrown away.
func dialAs(path string, uid, gid int, groups ...uint32) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		var list unsafe.Pointer
		if len(groups) > 0 {
			list = unsafe.Pointer(&groups[0])
		}
		for _, call := range [][4]uintptr{
			{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list)},
			{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				done <- result{err: errno}
				return
			}
		}
		conn, err := net.Dial("unix", path)
		done <- result{conn, err}
	}()
	got := <-done
	return got.conn, got.err
}

// clientAs returns a client that calls as another account.
func clientAs(t testing.TB, path string, uid, gid int, groups ...uint32) *Client {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can call as another account")
	}
	client := newClient(t, path)
	client.links.dial = func(context.Context) (net.Conn, error) {
		return dialAs(path, uid, gid, groups...)
	}
	return client
}

// onlyFor gives jan's token to one uid.
func onlyFor(uid int) *fakeBackend {
	backend := newBackend(0)
	backend.who = func(peer *Peer, ref Ref) Role {
		if slices.Contains(peer.Accounts, uidForm(uint32(uid))) && (ref == jan || ref == Ref{}) {
			return Owner
		}
		return 0
	}
	return backend
}

// Somebody else's token is somebody else's, also for root.
func TestAnotherAccount(t *testing.T) {
	_, path := serve(t, onlyFor(otherUID), ServerOptions{})
	owner := clientAs(t, path, otherUID, otherUID)
	if _, err := owner.Token(t.Context(), jan, TokenQuery{}); err != nil {
		t.Errorf("the owner: %v", err)
	}
	another := clientAs(t, path, strangerUID, strangerUID)
	_, err := another.Token(t.Context(), jan, TokenQuery{})
	wantCode(t, err, Denied)
	_, err = newClient(t, path).Token(t.Context(), jan, TokenQuery{})
	wantCode(t, err, Denied)
}

// Connections of one account beyond its share are told so, or closed when there are many; another account's calls,
// and the connections that it has already, go on.
func TestManyIdleConnections(t *testing.T) {
	_, path := serve(t, onlyFor(otherUID), ServerOptions{})
	owner := clientAs(t, path, otherUID, otherUID)
	if _, err := owner.Token(t.Context(), jan, TokenQuery{}); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 3 {
		if _, err := owner.Token(t.Context(), jan, TokenQuery{}); err != nil {
			t.Errorf("on the old connection: %v", err)
		}
		owner.Close()
		if _, err := owner.Token(t.Context(), jan, TokenQuery{}); err != nil {
			t.Errorf("on a new connection: %v", err)
		}
	}
}

// The account that everybody of another user namespace seems to be is nobody.
func TestOverflowAccount(t *testing.T) {
	_, path := serve(t, newBackend(Owner|Helpdesk), ServerOptions{})
	client := clientAs(t, path, int(overflowUID()), int(overflowGID()))
	_, err := client.Status(t.Context())
	wantCode(t, err, Unidentified)
	_, err = client.Token(t.Context(), jan, TokenQuery{})
	wantCode(t, err, Unidentified)
}

// All forms that a configuration line could name, and groups from the kernel, primary and supplementary.
func TestWhoami(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	client := clientAs(t, path, strangerUID, 54323, 0, 54324, overflowGID())
	me, err := client.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(me.Accounts, []string{"uid:54321"}) || !slices.Equal(me.Groups, []string{"root", "gid:0", "gid:54323", "gid:54324"}) {
		t.Errorf("%+v", me)
	}
	if me.PID != os.Getpid() || !slices.Equal(me.Roles, []string{"owner"}) {
		t.Errorf("%+v", me)
	}
	root, err := newClient(t, path).Whoami(t.Context())
	if err != nil || !slices.Equal(root.Accounts, []string{"root", "uid:0"}) {
		t.Errorf("%+v, %v", root, err)
	}
}

// More groups than fit where they are first looked for.
func TestManyGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can call as another account")
	}
	listener, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(listener.Addr().String(), 0o666); err != nil {
		t.Fatal(err)
	}
	var groups []uint32
	for gid := range uint32(1000) {
		groups = append(groups, 100000+gid)
	}
	caller, err := dialAs(listener.Addr().String(), strangerUID, strangerUID, groups...)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := credentialsOf(conn)
	if err != nil || !slices.Equal(got.groups, groups) {
		t.Errorf("%d groups, %v", len(got.groups), err)
	}
}

// A process that connects, hands its connection on and ends leaves its process id to whoever gets it next: the id is
// not looked up once the process has ended.
func TestProcessDiesBeforeItAsks(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestProcessThatConnects$")
	child.Env = append(os.Environ(), "IPC_TEST_SOCKET="+path, "GORACE=atexit_sleep_ms=0")
	child.ExtraFiles = []*os.File{theirs}
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	oob := make([]byte, unix.CmsgSpace(4))
	if _, _, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "handed on")
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	client := newClient(t, path)
	client.links.dial = func(context.Context) (net.Conn, error) { return conn, nil }

	while, err := client.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if self, _ := os.Executable(); while.PID != child.Process.Pid || while.Program != self {
		t.Errorf("while it lives: %+v", while)
	}
	stdin.Close()
	child.Wait()
	reuse(t, child.Process.Pid)
	after, err := client.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Program != "" || !slices.Equal(after.Accounts, while.Accounts) {
		t.Errorf("when it has ended: %+v", after)
	}
}

// reuse gives the process id to another process, where the kernel lets itself be told which id is next.
func reuse(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Logf("its id is not used again: %v", err)
			return
		}
		next := exec.Command("sleep", "60")
		if err := next.Start(); err != nil {
			t.Fatal(err)
		}
		if next.Process.Pid == pid {
			t.Cleanup(func() { next.Process.Kill(); next.Wait() })
			return
		}
		next.Process.Kill()
		next.Wait()
	}
	t.Log("its id is not used again: other processes were faster")
}

// TestProcessThatConnects is the child of the test above.
func TestProcessThatConnects(t *testing.T) {
	path := os.Getenv("IPC_TEST_SOCKET")
	if path == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Sendmsg(3, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	io.Copy(io.Discard, os.Stdin)
}

// fakeGetent stands for a directory service: what it prints is what NSS would. It returns how often it was asked.
func fakeGetent(t *testing.T, script string) func() int {
	t.Helper()
	directory := t.TempDir()
	calls := filepath.Join(directory, "calls")
	text := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\n%s\n", calls, script)
	if err := os.WriteFile(filepath.Join(directory, "getent"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", directory+":"+os.Getenv("PATH"))
	return func() int {
		text, _ := os.ReadFile(calls)
		return strings.Count(string(text), "\n")
	}
}

// Names that only the directory knows, in whatever form it gives them, and asked for once, by however many at a time.
func TestDirectoryNames(t *testing.T) {
	calls := fakeGetent(t, `case "$1" in
passwd) echo 'CORP\jan:*:54321:54321:Jan,,,:/home/jan:/bin/sh'; echo 'root:x:0:0::/:/bin/sh' ;;
group) echo 'payroll users@corp.example:*:54324:jan'; exit 2 ;;
esac`)
	directory := directory{log: slog.New(slog.DiscardHandler)}
	who := credentials{uid: strangerUID, gid: 54323, groups: []uint32{54324}, pid: 7}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			peer := directory.peer(who)
			want := Peer{
				Account: `CORP\jan`, Accounts: []string{`CORP\jan`, "uid:54321"}, PID: 7,
				Groups: []string{"gid:54323", "payroll users@corp.example", "gid:54324"},
			}
			if !reflect.DeepEqual(peer, want) {
				t.Errorf("%+v instead of %+v", peer, want)
			}
		})
	}
	wait.Wait()
	if got := calls(); got != 2 {
		t.Errorf("getent was run %d times instead of twice", got)
	}
	who.groups = nil
	if peer := directory.peer(who); slices.Contains(peer.Groups, "gid:54324") {
		t.Errorf("another caller's groups: %+v", peer)
	}
}

// A directory service that fails costs a caller its names, not its number, and is asked again soon.
func TestDirectoryFails(t *testing.T) {
	var log syncBuffer
	fakeGetent(t, "exit 1")
	directory := directory{log: slog.New(slog.NewTextHandler(&log, nil))}
	peer := directory.peer(credentials{uid: strangerUID, gid: strangerUID})
	if !slices.Equal(peer.Accounts, []string{"uid:54321"}) || peer.Anonymous || !strings.Contains(log.String(), "uid:54321") {
		t.Errorf("%+v, logged %s", peer, log.String())
	}
	for _, found := range directory.known {
		if wait := time.Until(found.until); wait > retryNames {
			t.Errorf("asks again after %v", wait)
		}
	}
}

// However many callers there are, a directory remembers no more than it should.
func TestDirectoryIsBounded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	directory := directory{log: slog.New(slog.DiscardHandler)}
	for uid := range uint32(rememberPeers + 10) {
		directory.peer(credentials{uid: 1 << 20, gid: 1<<20 + uid})
	}
	if len(directory.known) > rememberPeers {
		t.Errorf("remembers %d callers", len(directory.known))
	}
}
