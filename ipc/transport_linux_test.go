package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenAs listens as another account.
func listenAs(t *testing.T, path string, uid int) net.Listener {
	t.Helper()
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	type result struct {
		listener net.Listener
		err      error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // as in dialAs
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- result{err: errno}
			return
		}
		listener, err := net.Listen("unix", path)
		done <- result{listener, err}
	}()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { got.listener.Close() })
	return got.listener
}

// The account to which root gave the socket's directory is the service's, as long as nobody else could have made it.
func TestOwnsDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give directories away")
	}
	// Nothing above may be writable by others, which /tmp is.
	above, err := os.MkdirTemp("/run", "ipc-test")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(above)
	directory := filepath.Join(above, "run", "profitd")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(above, "link")
	if err := os.Symlink(directory, link); err != nil {
		t.Fatal(err)
	}
	set := func(path string, owner int, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.Chown(path, owner, -1), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	set(above, 0, 0o755)
	for _, test := range []struct {
		owner, parent int
		mode, above   os.FileMode
		want          bool
	}{
		{strangerUID, 0, 0o755, 0o755, true},
		{strangerUID, 0, 0o700, 0o755, true},
		{otherUID, 0, 0o755, 0o755, false},
		{strangerUID, 0, 0o775, 0o755, false},
		{strangerUID, 0, 0o757, 0o755, false},
		{strangerUID, 0, 0o755, 0o777 | os.ModeSticky, false},
		{strangerUID, otherUID, 0o755, 0o755, false},
		{strangerUID, strangerUID, 0o755, 0o755, false},
	} {
		set(directory, test.owner, test.mode)
		set(filepath.Dir(directory), test.parent, test.above)
		for _, path := range []string{directory, link} {
			if got := ownsDirectory(strangerUID, path); got != test.want {
				t.Errorf("%s, %+v: %v", path, test, got)
			}
		}
	}
	if ownsDirectory(strangerUID, filepath.Join(directory, "none")) {
		t.Error("owns a directory that does not exist")
	}
}

// Nothing is sent to a service that runs as the wrong account.
func TestWrongServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can listen as another account")
	}
	path := socketPath(t)
	listener := listenAs(t, path, strangerUID)
	received := make(chan []byte, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				text, _ := io.ReadAll(conn)
				received <- text
			}()
		}
	}()
	ask := func(options ClientOptions) string {
		options.Socket = path
		client := NewClient(options)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := client.Status(ctx)
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) {
			if text := <-received; !strings.HasPrefix(string(text), "GET") {
				t.Errorf("%v, but got %q", err, text)
			}
			return "asked"
		}
		if text := <-received; len(text) > 0 {
			t.Errorf("sent %q", text)
		}
		if !strings.Contains(err.Error(), "uid:54321") && !strings.Contains(err.Error(), "cannot find the account") {
			t.Errorf("does not say whom it found: %v", err)
		}
		return "refused"
	}
	directory := filepath.Dir(path)
	for _, test := range []struct {
		owner   int
		mode    os.FileMode
		account string
		want    string
	}{
		{0, 0o755, "", "refused"},
		{otherUID, 0o755, "", "refused"},
		{0, 0o755, "uid:54322", "refused"},
		{0, 0o755, "nobody-like-that", "refused"},
		{0, 0o755, "54321", "refused"}, // a name, not a number
		{0, 0o755, "uid:54321", "asked"},
		// Below /tmp, which everybody can write to, a directory of its own proves nothing.
		{strangerUID, 0o755, "", "refused"},
	} {
		if err := os.Chown(directory, test.owner, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(directory, test.mode); err != nil {
			t.Fatal(err)
		}
		if got := ask(ClientOptions{ServerAccount: test.account}); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
