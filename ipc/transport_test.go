//go:build unix

package ipc

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// socketPath returns a path that other accounts can reach, and that is short enough whatever the test is called.
func socketPath(t testing.TB) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "ipc")
	if err == nil {
		err = os.Chmod(directory, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	return filepath.Join(directory, "profitd.sock")
}

func connect(t testing.TB, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func listenOn(t testing.TB, path string) net.Listener {
	t.Helper()
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func wantNoListener(t *testing.T, path, because string) {
	t.Helper()
	listener, err := Listen(path)
	if err == nil {
		listener.Close()
		t.Fatalf("listens on %s", path)
	}
	if !strings.Contains(err.Error(), because) {
		t.Errorf("%q does not say %q", err, because)
	}
}

// Anyone may connect; nothing remains when the service has gone.
func TestListen(t *testing.T) {
	directory := filepath.Join(filepath.Dir(socketPath(t)), "profitd")
	path := filepath.Join(directory, "profitd.sock")
	listener, err := Listen(path) // makes the directory
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(directory); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if listener.Addr().String() != path {
		t.Errorf("listens on %s", listener.Addr())
	}
	connect(t, path)
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) > 0 {
		t.Errorf("leaves %v, %v", left, err)
	}
}

// Two services on one socket are impossible, also while the first has not begun to answer.
func TestListenTwice(t *testing.T) {
	path := socketPath(t)
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	wantNoListener(t, path, "another profitd has it")
	connect(t, path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// A socket that a service left behind is replaced; one on which somebody answers is not, nor is a file.
func TestListenWhereSomethingIs(t *testing.T) {
	path := socketPath(t)
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	other.SetUnlinkOnClose(false)
	wantNoListener(t, path, "another program answers")
	connect(t, path)
	other.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(path)
	if err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	connect(t, path)
	listener.Close()

	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNoListener(t, path, "no socket")
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// A service that was replaced under its feet does not take its successor's socket away.
func TestCloseRemovesOnlyItsOwn(t *testing.T) {
	path := socketPath(t)
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	successor, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	listener.Close()
	connect(t, path)
}

// Where others could put a socket of their own in its place, the service does not listen.
func TestListenInBadPlaces(t *testing.T) {
	path := socketPath(t)
	directory := filepath.Dir(path)
	for _, mode := range []os.FileMode{0o757, 0o775, 0o777 | os.ModeSticky} {
		if err := os.Chmod(directory, mode); err != nil {
			t.Fatal(err)
		}
		wantNoListener(t, path, "chmod go-w "+directory)
	}
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) > 0 {
		t.Errorf("leaves %v, %v", left, err)
	}
	wantNoListener(t, filepath.Join(directory, "no", "such", "profitd.sock"), "no such file")
	wantNoListener(t, filepath.Join(directory, strings.Repeat("x", 200)), "Choose a shorter one")
	if os.Geteuid() == 0 {
		if err := os.Chown(directory, 54321, -1); err != nil {
			t.Fatal(err)
		}
		wantNoListener(t, path, "chown 0 "+directory)
	}
}

// The longest path that is taken works to its end.
func TestLongestPath(t *testing.T) {
	path := socketPath(t)
	path += strings.Repeat("x", maxPath-len(path))
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connect(t, path)
	wantNoListener(t, path+"x", "Choose a shorter one")
}

// A link in the lock's place does not make the service create or change what it points to.
func TestLockIsNoLink(t *testing.T) {
	path := socketPath(t)
	target := path + ".target"
	if err := os.Symlink(target, path+".lock"); err != nil {
		t.Fatal(err)
	}
	wantNoListener(t, path, "lock")
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made %s: %v", target, err)
	}
}

func TestCurl(t *testing.T) {
	curl := requireTool(t, "curl")
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	run := func(arguments ...string) string {
		t.Helper()
		output, err := exec.Command(curl, append([]string{"-sS", "--unix-socket", path}, arguments...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v: %s", arguments, err, output)
		}
		return string(output)
	}
	if got := run("http://localhost/v1/tokens/payroll/12345.jan"); !strings.Contains(got, "AfasToken") {
		t.Error(got)
	}
	if got := run("--json", `{"dry_run": true}`, "http://localhost/v1/tokens/payroll/12345.jan/reset"); !strings.Contains(got, `"dry_run":true`) {
		t.Error(got)
	}
	if got := run("-d", `{"dry_run": true}`, "http://localhost/v1/tokens/payroll/12345.jan/reset"); !strings.Contains(got, "Content-Type: application/json") {
		t.Errorf("does not tell how to declare JSON: %s", got)
	}
	// curl asks with Expect: 100-continue before it sends so much.
	large := socketPath(t) + ".json"
	if err := os.WriteFile(large, bytes.Repeat([]byte(" "), 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run("--json", "@"+large, "http://localhost/v1/tokens/payroll/12345.jan/reset"); !strings.Contains(got, `"too_large"`) {
		t.Error(got)
	}
}

// Every way of not reaching the service is one type, and says what to do.
func TestUnreachable(t *testing.T) {
	path := socketPath(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	babble, err := net.Listen("unix", path+"2")
	if err != nil {
		t.Fatal(err)
	}
	defer babble.Close()
	go http.Serve(babble, http.NotFoundHandler())
	for path, want := range map[string]string{
		path + "1":               "there is no such socket",
		path:                     "nobody is listening",
		path + "2":               "not profitd",
		strings.Repeat("x", 200): "cannot reach profitd",
	} {
		_, err := newClient(t, path).Status(t.Context())
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), want) || unreachable.Hint == "" || unreachable.Socket != path {
			t.Errorf("%T %v does not say %q", err, err, want)
		}
	}
}
