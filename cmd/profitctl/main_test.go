package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/profitd/profitd/ipc"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"profitctl": main})
}

// TestScripts runs the scripts of testdata. Each has a service of its own: the real ipc.Server on a real socket, on
// top of the backend of backend_test.go. Besides testscript's own commands they have
//
//	service FILE                     the service answers what the file says (see backend)
//	becomes CONNECTOR USER STATE     an entry changes its state
//	called LINE...                   the calls that the service got since it was last asked
//	asked LINE...                    waits until the service has got these calls, and forgets them
//	api METHOD PATH FILE             asks the service without profitctl
//	exits N COMMAND...               runs the command, which must exit with N
//	terminal N [EXPECT TYPE]... -- COMMAND...
//	                                 runs the command in a terminal, types what is to be typed when what is expected
//	                                 appears, and leaves what the terminal was sent in the file "screen". Instead of
//	                                 typing, "@becomes CONNECTOR USER STATE" does what becomes does
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               serve,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"service":  cmdService,
			"becomes":  cmdBecomes,
			"called":   cmdCalled,
			"asked":    cmdAsked,
			"api":      cmdAPI,
			"exits":    cmdExits,
			"terminal": cmdTerminal,
		},
	})
}

// TestReaderHasGone: whoever pipes an answer to a reader that has gone must not take it for delivered.
func TestReaderHasGone(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	command := exec.Command("profitctl", "version")
	command.Stdout = writer
	if err := command.Run(); err == nil {
		t.Error("exit code 0")
	}
}

// serve starts the script's service.
func serve(env *testscript.Env) error {
	listener, err := listen(env.WorkDir)
	if err != nil {
		return err
	}
	b := &backend{changed: make(chan struct{})}
	server := ipc.NewServer(b, ipc.ServerOptions{Version: "1.2.3"})
	go server.Serve(listener)
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
	})
	env.Values["backend"] = b
	env.Setenv("PROFITD_SOCKET", listener.Addr().String())
	env.Setenv("TZ", "UTC")
	env.Setenv("TERM", "xterm")
	env.Setenv("NO_COLOR", "")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // or each command of a test with -race takes a second longer
	return nil
}

func backendOf(ts *testscript.TestScript) *backend { return ts.Value("backend").(*backend) }

func cmdService(ts *testscript.TestScript, _ bool, args []string) {
	b := backendOf(ts)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers = answersOf{}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &b.answers))
}

func cmdBecomes(ts *testscript.TestScript, _ bool, args []string) {
	backendOf(ts).set(ipc.Ref{Connector: args[0], User: args[1]}, ipc.State(args[2]))
}

func cmdCalled(ts *testscript.TestScript, _ bool, args []string) {
	b := backendOf(ts)
	b.mu.Lock()
	defer b.mu.Unlock()
	got, want := toJSON(b.calls, false), toJSON(args, false)
	if len(args) == 0 {
		want = toJSON([]string(nil), false)
	}
	if string(got) != string(want) {
		ts.Fatalf("the service was called %s, not %s", got, want)
	}
	b.calls = nil
}

func cmdAsked(ts *testscript.TestScript, _ bool, args []string) {
	b := backendOf(ts)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		count := len(b.calls)
		b.mu.Unlock()
		if count >= len(args) || time.Now().After(deadline) {
			cmdCalled(ts, false, args)
			return
		}
	}
}

func cmdAPI(ts *testscript.TestScript, _ bool, args []string) {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return dial(ts.Getenv("PROFITD_SOCKET"))
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(args[0], "http://profitd"+args[1], nil)
	ts.Check(err)
	response, err := transport.RoundTrip(request)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o600))
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want := number(ts, args[0])
	if got := exitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// exitCode is what a shell calls the exit code: 128 and the signal's number for a program that a signal ended.
func exitCode(ts *testscript.TestScript, err error) int {
	exit := new(exec.ExitError)
	if !errors.As(err, &exit) {
		ts.Check(err)
		return 0
	}
	if ended, ok := exit.Sys().(syscall.WaitStatus); ok && ended.Signaled() {
		return 128 + int(ended.Signal())
	}
	return exit.ExitCode()
}
