package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

var pipes atomic.Int64

// socketPath returns the name of a pipe that nobody has.
func socketPath(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf(`%sprofitd-test-%d-%d`, pipePrefix, os.Getpid(), pipes.Add(1))
}

// listenOn listens. Wine lets a client connect to the instance of a pipe that winio makes first and never serves, so
// there one is thrown away.
func listenOn(t testing.TB, path string) net.Listener {
	t.Helper()
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	throwAway(t, path)
	return listener
}

func throwAway(t testing.TB, path string) {
	t.Helper()
	if isWine() {
		connect(t, path).Close()
	}
}

func isWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

func connect(t testing.TB, path string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := winio.DialPipeAccessImpLevel(ctx, path, clientAccess, winio.PipeImpLevelIdentification)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// The access list is on the pipe as the constant says, and it gives others no right to make another instance.
func TestPipeAccess(t *testing.T) {
	path := socketPath(t)
	listener := listenOn(t, path)
	defer listener.Close()
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			defer conn.Close()
		}
	}()
	pipe, err := handle(connect(t, path))
	if err != nil {
		t.Fatal(err)
	}
	found, err := windows.GetSecurityInfo(pipe, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		t.Fatal(err)
	}
	own := mySID(t)
	if owner, _, err := found.Owner(); err != nil || owner.String() != own {
		t.Errorf("belongs to %v, %v", owner, err)
	}
	list, _, err := found.DACL()
	if err != nil {
		t.Fatal(err)
	}
	const everything = windows.STANDARD_RIGHTS_REQUIRED | windows.SYNCHRONIZE | 0x1ff
	got := map[string]windows.ACCESS_MASK{}
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &entry); err != nil || entry.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE {
			t.Fatalf("%+v, %v", entry, err)
		}
		got[(*windows.SID)(unsafe.Pointer(&entry.SidStart)).String()] = entry.Mask
	}
	want := map[string]windows.ACCESS_MASK{
		systemSID: everything, administratorsSID: everything, own: everything,
		"S-1-5-11": (windows.FILE_GENERIC_READ | windows.FILE_GENERIC_WRITE) &^ windows.FILE_APPEND_DATA, // FILE_CREATE_PIPE_INSTANCE
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
}

// The second service says who the first one is.
func TestListenTwice(t *testing.T) {
	path := socketPath(t)
	first := listenOn(t, path)
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := first.Accept(); err == nil {
			accepted <- conn
		}
	}()
	second, err := Listen(path)
	if err == nil {
		second.Close()
		t.Fatal("listens twice")
	}
	self, _ := os.Executable()
	for _, want := range []string{path, fmt.Sprintf("process %d (", os.Getpid()), filepath.Base(self), "profitd stop"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	select {
	case conn := <-accepted: // it came to find out who is there
		conn.Close()
	case <-time.After(5 * time.Second):
		t.Error("did not look who is there")
	}
	first.Close()
	third, err := Listen(path)
	if err != nil {
		t.Fatalf("when the first has gone: %v", err)
	}
	third.Close()
}

// Also a pipe on which nobody answers, and one that lets nobody in, are somebody's.
func TestListenWhereSomethingIs(t *testing.T) {
	for _, access := range []string{"", "D:P"} {
		path := socketPath(t)
		other, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: access})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		listener, err := Listen(path)
		if err == nil {
			listener.Close()
			t.Fatalf("%q: listens", access)
		}
		if !strings.Contains(err.Error(), "process") || !strings.Contains(err.Error(), "Stop that first") {
			t.Errorf("%q: %v", access, err)
		}
	}
}

func TestListenNeedsPipe(t *testing.T) {
	for _, path := range []string{"", "profitd", `C:\profitd.sock`, pipePrefix, `\\server\pipe\profitd`} {
		listener, err := Listen(path)
		if err == nil {
			listener.Close()
			t.Fatalf("listens on %s", path)
		}
		if !strings.Contains(err.Error(), "starts with "+pipePrefix) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Who may be the service, whatever the account that asks. The SID of TrustedInstaller is the same everywhere.
func TestMayServe(t *testing.T) {
	if got := serviceSID("TrustedInstaller"); got != "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" {
		t.Errorf("the SID of a service: %s", got)
	}
	service := serviceSID("profitd")
	for _, test := range []struct {
		owner, account string
		want           bool
	}{
		{systemSID, "", true},
		{administratorsSID, "", true},
		{service, "", true},
		{mySID(t), "", true},
		{strangerSID, "", false},
		{serviceSID("other"), "", false},
		{"S-1-5-11", "", false},
		{strangerSID, strangerSID, true},
		{systemSID, strangerSID, true},
		{service, strangerSID, false},
		{mySID(t), strangerSID, false},
		{service, `NT SERVICE\profitd`, true},
		{service, `nt service\PROFITD`, true},
		{service, `NT SERVICE\other`, false},
		{mySID(t), os.Getenv("USERNAME"), true},
	} {
		if got, err := mayServe(test.owner, ClientOptions{ServerAccount: test.account}); err != nil || got != test.want {
			t.Errorf("%+v: %v, %v", test, got, err)
		}
	}
	if allowed, err := mayServe(service, ClientOptions{ServerAccount: "nobody-like-that"}); err == nil || allowed {
		t.Errorf("an account that does not exist: %v, %v", allowed, err)
	}
}

// Nothing is sent to a pipe of another account.
func TestWrongServer(t *testing.T) {
	path := socketPath(t)
	listener, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: "O:" + strangerSID + "D:P(A;;FA;;;WD)"})
	if err != nil {
		t.Skipf("only Wine gives a pipe to an account that is not one's own: %v", err)
	}
	defer listener.Close()
	received := make(chan string, 10)
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			text, _ := io.ReadAll(conn)
			received <- string(text)
		}
	}()
	throwAway(t, path)
	client := newClient(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = client.Status(ctx)
	client.Close()
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), strangerSID) {
		t.Errorf("%v", err)
	}
	if text := <-received; text != "" {
		t.Errorf("sent %q", text)
	}
}

// Every way of not reaching the service is one type, and says what to do.
func TestUnreachable(t *testing.T) {
	babble := listenOn(t, socketPath(t))
	defer babble.Close()
	go http.Serve(babble, http.NotFoundHandler())
	for path, want := range map[string]string{
		socketPath(t):           "there is no such socket",
		babble.Addr().String():  "not profitd",
		`C:\windows\win.ini`:    "cannot reach profitd",
		`\\server\pipe\profitd`: "cannot reach profitd",
	} {
		_, err := newClient(t, path).Status(t.Context())
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), want) || unreachable.Hint == "" || unreachable.Socket != path {
			t.Errorf("%T %v does not say %q", err, err, want)
		}
	}
}
