package ipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

func requireTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// wantCode fails unless the error is the service's with this code.
func wantCode(t *testing.T, err error, code ErrorCode) *Error {
	t.Helper()
	var problem *Error
	if !errors.As(err, &problem) || problem.Code != code {
		t.Fatalf("%v instead of %s", err, code)
	}
	return problem
}

// The table of the design: who may make which call.
func TestAccess(t *testing.T) {
	backend := newBackend(0)
	_, path := serve(t, backend, ServerOptions{})
	ctx, client := t.Context(), newClient(t, path)
	code, err := ParseActivationCode("3426 4813")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"status":           func() error { _, err := client.Status(ctx); return err },
		"whoami":           func() error { _, err := client.Whoami(ctx); return err },
		"entries":          func() error { _, err := client.Entries(ctx); return err },
		"token":            func() error { _, err := client.Token(ctx, jan, TokenQuery{}); return err },
		"one token":        func() error { _, err := client.Token(ctx, Ref{Connector: "payroll"}, TokenQuery{}); return err },
		"code":             func() error { _, err := client.Code(ctx, jan); return err },
		"activate":         func() error { _, err := client.Activate(ctx, jan, code); return err },
		"reject":           func() error { _, err := client.Reject(ctx, jan); return err },
		"reset":            func() error { _, err := client.Reset(ctx, jan, DefaultReset); return err },
		"explain me":       func() error { _, err := client.Explain(ctx, jan, ""); return err },
		"ask about others": func() error { _, err := client.Explain(ctx, jan, "somebody else"); return err },
		"events": func() error {
			for _, err := range client.Watch(ctx) {
				return err
			}
			return nil
		},
	}
	may := map[Role]string{
		0:        "status whoami explain me",
		Owner:    "status whoami explain me entries token one token code activate reject reset events",
		Helpdesk: "status whoami explain me entries code reset ask about others events",
	}
	for role, allowed := range may {
		backend.grant(role)
		for name, call := range calls {
			err := call()
			if strings.Contains(" "+allowed+" ", " "+name+" ") {
				if err != nil {
					t.Errorf("role %d: %s: %v", role, name, err)
				}
				continue
			}
			if problem := wantCode(t, err, Denied); problem.Detail != denied.Detail || problem.Hint != denied.Hint {
				t.Errorf("role %d: %s is denied in its own words: %v", role, name, problem)
			}
		}
	}
}

// Nobody learns by the answer whether an entry exists to which they have no right.
func TestDeniedTellsNothing(t *testing.T) {
	_, path := serve(t, newBackend(0), ServerOptions{})
	answer := func(target string) string {
		response, body := exchange(t, path, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		return fmt.Sprint(response.Status, response.Header["Content-Length"], body)
	}
	existing := answer("/v1/tokens/payroll/12345.jan")
	for _, target := range []string{"/v1/tokens/payroll/12345.nobody", "/v1/tokens/none/x", "/v1/tokens/payroll", "/v1/tokens/none"} {
		if got := answer(target); got != existing {
			t.Errorf("%s: %s\nother than for an entry: %s", target, got, existing)
		}
	}
}

// A right that was there when the call began, and is gone when it is answered, is gone; also where the answer is an
// error that tells of the entry.
func TestRightLostBeforeAnswer(t *testing.T) {
	for name, result := range map[string]error{
		"a token": nil,
		"a state": &Error{Code: Pending, Detail: "requesting", State: Requesting},
	} {
		t.Run(name, func(t *testing.T) {
			backend := newBackend(Owner)
			backend.on["token"] = func(context.Context, any) error {
				backend.grant(0)
				return result
			}
			_, path := serve(t, backend, ServerOptions{})
			_, err := newClient(t, path).Token(t.Context(), jan, TokenQuery{Wait: time.Minute})
			if problem := wantCode(t, err, Denied); problem.State != "" {
				t.Errorf("tells the state: %v", problem)
			}
		})
	}
}

// The one-user form names no user: what counts is the right to the entry that is answered.
func TestRightToTheAnsweredEntry(t *testing.T) {
	backend := newBackend(Owner)
	backend.who = func(_ *Peer, ref Ref) Role {
		if ref == jan {
			return 0
		}
		return Owner
	}
	_, path := serve(t, backend, ServerOptions{})
	_, err := newClient(t, path).Token(t.Context(), Ref{Connector: "payroll"}, TokenQuery{})
	wantCode(t, err, Denied)
}

// A call that decides something goes on when its caller hangs up; a wait does not.
func TestCallerHangsUp(t *testing.T) {
	for _, test := range []struct {
		call, request string
		ends          bool
	}{
		{"code", "POST /v1/tokens/payroll/12345.jan/code", false},
		{"activate", "POST /v1/tokens/payroll/12345.jan/activate", false},
		{"reject", "POST /v1/tokens/payroll/12345.jan/reject", false},
		{"reset", "POST /v1/tokens/payroll/12345.jan/reset", false},
		{"token", "GET /v1/tokens/payroll/12345.jan", false},
		{"token", "GET /v1/tokens/payroll/12345.jan?wait=1m", true},
		{"watch", "GET /v1/events", true},
	} {
		t.Run(test.request, func(t *testing.T) {
			backend := newBackend(Owner)
			begun, hungUp, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			backend.on[test.call] = func(ctx context.Context, _ any) error {
				close(begun)
				patience := 5 * time.Second
				if !test.ends {
					patience = 50 * time.Millisecond // which a call that ends by mistake does not take
				}
				<-hungUp
				select {
				case <-ctx.Done():
				case <-time.After(patience):
				}
				ended <- ctx.Err()
				return ctx.Err()
			}
			_, path := serve(t, backend, ServerOptions{})
			conn := connect(t, path)
			body := ""
			if test.call == "activate" {
				body = `{"code": "34264813"}`
			}
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", test.request, len(body), body)
			<-begun
			conn.Close()
			close(hungUp)
			if err := <-ended; (err != nil) != test.ends {
				t.Errorf("the call's context: %v", err)
			}
		})
	}
}

// A panic of the backend is one failed answer, and what it was about is told nobody.
func TestPanic(t *testing.T) {
	var log syncBuffer
	backend := newBackend(Owner)
	backend.on["token"] = func(context.Context, any) error { panic("the secret is 979D") }
	backend.on["watch"] = func(_ context.Context, send any) error { panic("the secret is 979D") }
	_, path := serve(t, backend, ServerOptions{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	client := newClient(t, path)
	_, err := client.Token(t.Context(), jan, TokenQuery{})
	wantCode(t, err, Internal)
	for event, err := range client.Watch(t.Context()) {
		var ended *UnreachableError
		if event.Snapshot == nil && !errors.As(err, &ended) {
			t.Errorf("the stream brings %v, %v", event, err)
		}
	}
	backend.mu.Lock()
	backend.who = func(*Peer, Ref) Role { panic("the secret is 979D") }
	backend.mu.Unlock()
	_, err = client.Entries(t.Context())
	wantCode(t, err, Denied)
	if text := log.String(); strings.Contains(text, "979D") || !strings.Contains(text, "panic in a call") {
		t.Errorf("logged: %s", text)
	}
}

// What is no *Error may say anything: it is logged, not sent.
func TestOtherErrors(t *testing.T) {
	var log syncBuffer
	backend := newBackend(Owner)
	backend.on["token"] = func(context.Context, any) error { return errors.New("cannot read /etc/profitd/key") }
	_, path := serve(t, backend, ServerOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := newClient(t, path).Token(t.Context(), jan, TokenQuery{})
	if problem := wantCode(t, err, Internal); strings.Contains(problem.Error(), "/etc") {
		t.Errorf("sends %v", problem)
	}
	if !strings.Contains(log.String(), "/etc/profitd/key") {
		t.Errorf("logged: %s", log.String())
	}
}

// Errors travel as they are, with what their code implies.
func TestErrorsTravel(t *testing.T) {
	backend := newBackend(Owner)
	_, path := serve(t, backend, ServerOptions{})
	client := newClient(t, path)
	for code := range problems {
		sent := &Error{Code: code, Detail: "it failed", Hint: "Do better.", State: Blocked, Reason: "wrong_key", RetryAfter: 1500 * time.Millisecond}
		backend.on["token"] = func(context.Context, any) error { return fmt.Errorf("wrapped: %w", sent) }
		_, err := client.Token(t.Context(), jan, TokenQuery{})
		got := wantCode(t, err, code)
		want := *sent.complete()
		want.RetryAfter = 2 * time.Second
		if *got != want {
			t.Errorf("%+v instead of %+v", got, want)
		}
	}
	// 429 and 503 always say when.
	backend.on["token"] = func(context.Context, any) error { return NewError(KeystoreUnavailable, "locked", "") }
	_, err := client.Token(t.Context(), jan, TokenQuery{})
	if got := wantCode(t, err, KeystoreUnavailable); got.RetryAfter <= 0 {
		t.Error("does not say when to try again")
	}
}

// The log tells who asked what, and never a body, a code or a token.
func TestLog(t *testing.T) {
	var log syncBuffer
	backend := newBackend(Owner)
	_, path := serve(t, backend, ServerOptions{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	client := newClient(t, path)
	code, err := ParseActivationCode("34264813")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Activate(t.Context(), jan, code); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Token(t.Context(), jan, TokenQuery{}); err != nil {
		t.Fatal(err)
	}
	exchange(t, path, "GET /nowhere?code=34264813 HTTP/1.0\r\n\r\n")
	text := log.String()
	for _, secret := range []string{"3426", "979D", "AfasToken", "PHRva2Vu"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %s: %s", secret, text)
		}
	}
	if !strings.Contains(text, "entry=payroll/12345.jan") {
		t.Errorf("the log does not tell what was asked: %s", text)
	}
}

// Fifteen lines of socket code are a client.
func TestHTTP10(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	conn := connect(t, path)
	io.WriteString(conn, "GET /v1/tokens/payroll/12345.jan HTTP/1.0\r\n\r\n")
	if half, ok := conn.(*net.UnixConn); ok {
		half.CloseWrite() // as nc -N and socat do
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	var token Token
	if err := json.Unmarshal(body, &token); err != nil || token.Token != janToken().Token {
		t.Errorf("%v: %q", err, answer)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.0 200 OK\r\n")) || !bytes.Contains(head, fmt.Appendf(nil, "Content-Length: %d", len(body))) ||
		bytes.Contains(head, []byte("Transfer-Encoding")) {
		t.Errorf("the head: %s", head)
	}
	if !bytes.Contains(body, []byte("<token><version>")) {
		t.Error("the token is escaped: no match for a shell's grep or sed")
	}
}

// A token that was encoded beforehand is answered no differently.
func TestEncodedToken(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	_, plain := exchange(t, path, "GET /v1/tokens/payroll/12345.jan HTTP/1.0\r\n\r\n")
	token := janToken()
	if err := token.Encode(); err != nil {
		t.Fatal(err)
	}
	_, path = serve(t, memoryBackend{newBackend(Owner), token}, ServerOptions{})
	if _, encoded := exchange(t, path, "GET /v1/tokens/payroll/12345.jan HTTP/1.0\r\n\r\n"); encoded != plain {
		t.Errorf("%s instead of %s", encoded, plain)
	}
}

// A list that is longer than net/http's buffer is not chunked either.
func TestLongAnswerHasLength(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	for _, target := range []string{"/v1/tokens", "/v1/tokens/payroll/12345.jan/reset"} {
		method := "GET"
		if strings.HasSuffix(target, "reset") {
			method = "POST"
		}
		response, body := exchange(t, path, method+" "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if response.ContentLength != int64(len(body)) {
			t.Errorf("%s: Content-Length %d of %d bytes", target, response.ContentLength, len(body))
		}
	}
}

// Node.js reaches the socket or the pipe by nothing but its name. Two calls at a time open two connections.
func TestNode(t *testing.T) {
	node := requireTool(t, "node")
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	const script = `
		const ask = (n) => require("http").request(
			{socketPath: process.argv[1], path: "/v1/tokens/payroll/12345.jan", headers: {Connection: n ? "close" : "keep-alive"}},
			(response) => response.on("data", (text) => console.log(JSON.parse(text).headers.Authorization)))
			.on("error", (error) => { console.log(String(error)); process.exitCode = 1 }).end()
		ask(0); ask(1)`
	output, err := exec.Command(node, "-e", script, path).CombinedOutput()
	if want := janToken().Headers["Authorization"]; err != nil || strings.Count(string(output), want) != 2 {
		t.Errorf("%v: %s", err, output)
	}
}

// Shutdown ends waits and streams at once, lets the rest finish, and does not wait for callers who say nothing.
func TestShutdown(t *testing.T) {
	backend := newBackend(Owner)
	begun := make(chan string, 3)
	finish := make(chan struct{})
	for call, until := range map[string]chan struct{}{"token": nil, "code": finish, "watch": nil} {
		backend.on[call] = func(ctx context.Context, _ any) error {
			begun <- call
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-until:
				return nil
			}
		}
	}
	path := socketPath(t)
	listener := listenOn(t, path)
	server := NewServer(backend, ServerOptions{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	connect(t, path) // and says nothing

	ask := func(request string) chan string {
		answer := make(chan string, 1)
		conn := connect(t, path)
		io.WriteString(conn, request+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		go func() {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				answer <- err.Error()
				return
			}
			body, err := io.ReadAll(response.Body)
			answer <- fmt.Sprint(response.Status, string(body), err)
		}()
		return answer
	}
	wait := ask("GET /v1/tokens/payroll/12345.jan?wait=5m")
	events := ask("GET /v1/events")
	code := ask("POST /v1/tokens/payroll/12345.jan/code")
	for range 3 {
		<-begun
	}

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than net/http waits for a silent caller
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(ctx) }()
	if got := <-wait; !strings.Contains(got, `"pending"`) {
		t.Errorf("the wait got %s", got)
	}
	if got := <-events; !strings.HasPrefix(got, "200 OK") || !strings.HasSuffix(got, "<nil>") {
		t.Errorf("the stream did not end well: %s", got)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait for the call under way: %v", err)
	case got := <-code:
		t.Fatalf("the call was cut off: %s", got)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if got := <-code; !strings.HasPrefix(got, "200 OK") {
		t.Errorf("the call under way got %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket remains: %v", err)
	}
}

// A call that does not finish is cut off when the time for it is over.
func TestShutdownCuts(t *testing.T) {
	backend := newBackend(Owner)
	begun, ended := make(chan struct{}), make(chan struct{})
	backend.on["code"] = func(ctx context.Context, _ any) error {
		close(begun)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	listener := listenOn(t, socketPath(t))
	server := NewServer(backend, ServerOptions{})
	go server.Serve(listener)
	io.WriteString(connect(t, listener.Addr().String()), "POST /v1/tokens/payroll/12345.jan/code HTTP/1.0\r\n\r\n")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	<-ended
}

// Codes print nowhere.
func TestActivationCodeDoesNotPrint(t *testing.T) {
	code, err := ParseActivationCode(" 34\u00a026-48\u200b13 ")
	if err != nil || code.Reveal() != "34264813" {
		t.Fatalf("%q, %v", code.Reveal(), err)
	}
	text, err := json.Marshal(map[string]any{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", code, code, code, code, code, code, code), string(text), slog.AnyValue(code).Resolve().String(),
		fmt.Sprintf("%v %+v %#v", *janToken(), janToken(), []Token{*janToken()})} {
		if strings.Contains(printed, "3426") || strings.Contains(printed, "979D") || strings.Contains(printed, "AfasToken") {
			t.Errorf("prints %s", printed)
		}
	}
}

// syncBuffer is a buffer that may be read while it is written to.
type syncBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(text)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
