//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a client that counts its connections.
func counted(t *testing.T, path string) (*Client, *atomic.Int32) {
	client, count := newClient(t, path), new(atomic.Int32)
	dial := client.links.dial
	client.links.dial = func(ctx context.Context) (net.Conn, error) {
		count.Add(1)
		return dial(ctx)
	}
	return client, count
}

// Questions share a connection; each call that may decide something has one of its own, that others may use afterwards.
func TestConnectionsAreKept(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	client, count := counted(t, path)
	ask := func(want int32, call string, err error) {
		t.Helper()
		if err != nil || count.Load() != want {
			t.Fatalf("%s: %v, %d connections instead of %d", call, err, count.Load(), want)
		}
	}
	for range 3 {
		_, err := client.Token(t.Context(), jan, TokenQuery{})
		ask(1, "token", err)
	}
	_, err := client.Code(t.Context(), jan)
	ask(2, "code", err)
	_, err = client.Reject(t.Context(), jan)
	ask(3, "reject", err)
	_, err = client.Entries(t.Context()) // more than a buffer
	ask(3, "entries", err)
	_, err = client.Token(t.Context(), Ref{Connector: "none"}, TokenQuery{})
	wantCode(t, err, Denied)
	_, err = client.Status(t.Context())
	ask(3, "status after a refusal", err)
	client.Close()
	_, err = client.Status(t.Context())
	ask(4, "status after Close", err)
}

// A service that was started anew has closed what was idle: a question is asked again, and no other call notices.
func TestIdleConnectionsAtTheirEnd(t *testing.T) {
	path := socketPath(t)
	start := func() func() {
		listener, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		server := NewServer(newBackend(Owner), ServerOptions{})
		go server.Serve(listener)
		return func() {
			if err := server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	client, count := counted(t, path)
	stop := start()
	for name, call := range map[string]func() error{
		"status": func() error { _, err := client.Status(t.Context()); return err },
		"code":   func() error { _, err := client.Code(t.Context(), jan); return err },
	} {
		if _, err := client.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		stop = start()
		before := count.Load()
		if err := call(); err != nil || count.Load() != before+1 {
			t.Errorf("%s: %v, %d new connections", name, err, count.Load()-before)
		}
	}
	stop()
	_, err := client.Status(t.Context())
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("stopped: %v", err)
	}
}

// A call is sent once: what ends a new connection, after whatever the service did, is an error and not repeated.
func TestNothingIsRepeated(t *testing.T) {
	listener, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	})}
	go server.Serve(listener)
	defer server.Close()
	client := newClient(t, listener.Addr().String())
	for name, call := range map[string]func() error{
		"reset":  func() error { _, err := client.Reset(t.Context(), jan, DefaultReset); return err },
		"status": func() error { _, err := client.Status(t.Context()); return err },
	} {
		calls.Store(0)
		var unreachable *UnreachableError
		if err := call(); !errors.As(err, &unreachable) || calls.Load() != 1 {
			t.Errorf("%s: %v, sent %d times", name, err, calls.Load())
		}
	}
}

// A connection on which something is still to come, or that its caller gave up, is used by nobody else.
func TestUnfinishedConnectionsAreClosed(t *testing.T) {
	backend := newBackend(Owner)
	backend.on["token"] = func(ctx context.Context, _ any) error { <-ctx.Done(); return ctx.Err() }
	_, path := serve(t, backend, ServerOptions{})
	client, _ := counted(t, path)
	for range client.Watch(t.Context()) {
		break
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Token(ctx, jan, TokenQuery{Wait: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if left := len(client.links.idle); left != 0 {
		t.Errorf("%d connections are kept", left)
	}

	// Nor one on which more has come than an answer.
	listener, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"entries\": []}")
			go io.Copy(io.Discard, conn)
		}
	}()
	client = newClient(t, listener.Addr().String())
	if _, err := client.Status(t.Context()); err != nil || len(client.links.idle) != 0 {
		t.Errorf("%v, %d connections are kept", err, len(client.links.idle))
	}
}

// However many calls there are at once, few connections remain, and none for long.
func TestFewConnectionsAreKept(t *testing.T) {
	var all links
	for range 2 * maxIdle {
		here, there := net.Pipe()
		defer there.Close()
		all.keep(&link{Conn: here})
	}
	if len(all.idle) != maxIdle {
		t.Errorf("%d connections are kept", len(all.idle))
	}
	all.idle[maxIdle-1].end.Reset(0)
	if _, err := all.idle[maxIdle-1].Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it is kept for ever: %v", err)
	}
}
