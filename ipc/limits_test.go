package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// wantEnd fails unless the server ends the connection soon. It returns what came before.
func wantEnd(t *testing.T, conn net.Conn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	text, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is kept after %q", text)
	}
	return string(text)
}

// Bytes that are not HTTP are answered once, in HTTP, and the connection ends.
func TestNotHTTP(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "\x00\x00\x00\x01\x0b\r\n\r\n", "hello\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n", "GET /v1/status HTTP/1.1\r\n\r\n"} {
		conn := connect(t, path)
		io.WriteString(conn, text)
		if got := wantEnd(t, conn); !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 5") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// Headers have 5 s and 16 KiB, and so has a caller who says nothing.
func TestHeadersWithoutEnd(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{Limits: Limits{Headers: 50 * time.Millisecond}})
	for _, text := range []string{"", "G", "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n"} {
		conn := connect(t, path)
		io.WriteString(conn, text)
		wantEnd(t, conn)
	}
	conn := connect(t, path)
	go func() {
		io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n")
		for _, err := io.WriteString(conn, "X-A: b\r\n"); err == nil; _, err = io.WriteString(conn, "X-A: b\r\n") {
		}
	}()
	wantEnd(t, conn)

	for size, want := range map[int]int{8 << 10: http.StatusOK, 17 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		response, _ := exchange(t, path, "GET /v1/status HTTP/1.0\r\nX-A: "+strings.Repeat("b", size)+"\r\n\r\n")
		if response.StatusCode != want {
			t.Errorf("%d bytes of headers: %s", size, response.Status)
		}
	}
}

// A body of 10 MB is refused without being read, announced or not; one that does not come is not waited for.
func TestBodies(t *testing.T) {
	backend := newBackend(Owner)
	_, path := serve(t, backend, ServerOptions{Limits: Limits{Body: 50 * time.Millisecond}})
	post := "POST /v1/tokens/payroll/12345.jan/reset HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, request := range map[string]string{
		"announced": post + "Content-Length: 10485760\r\n\r\n",
		"chunked":   post + "Transfer-Encoding: chunked\r\n\r\na00000\r\n",
	} {
		conn := connect(t, path)
		go conn.Write(append([]byte(request), bytes.Repeat([]byte(" "), 10<<20)...))
		if got := wantEnd(t, conn); !strings.Contains(got, `"too_large"`) {
			t.Errorf("%s: %q", name, got)
		}
	}
	conn := connect(t, path)
	io.WriteString(conn, post+"Content-Length: 2\r\n\r\n{")
	if got := wantEnd(t, conn); !strings.Contains(got, `"invalid_request"`) {
		t.Errorf("half a body: %q", got)
	}
	conn = connect(t, path)
	io.WriteString(conn, "GET /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{")
	if got := wantEnd(t, conn); !strings.Contains(got, `"not_found"`) {
		t.Errorf("half a body that nobody wants: %q", got)
	}
	if backend.called("reset") > 0 {
		t.Error("one of them was taken for a reset")
	}
}

// A client that stops reading is dropped, and its call ends.
func TestClientStopsReading(t *testing.T) {
	backend := newBackend(Owner)
	ended := make(chan error, 1)
	backend.on["watch"] = func(_ context.Context, send any) error {
		entry := janEntry(Active)
		entry.Message = strings.Repeat("x", 64<<10)
		for {
			if err := send.(func(Event) error)(Event{Entry: &entry}); err != nil {
				ended <- err
				return err
			}
		}
	}
	_, path := serve(t, backend, ServerOptions{Limits: Limits{Write: 50 * time.Millisecond}})
	io.WriteString(connect(t, path), "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended by %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("is still being written to")
	}
}

// What is beyond an account's share is answered with 429, and works again when connections are closed.
func TestConnectionsPerAccount(t *testing.T) {
	for name, test := range map[string]struct {
		role   Role
		limits Limits
		fit    int
	}{
		"owner":        {Owner, Limits{PerAccount: 3}, 3},
		"in all":       {Owner, Limits{Connections: 4}, 4},
		"stranger":     {0, Limits{PerStranger: 2}, 2},
		"all stranger": {0, Limits{Strangers: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, path := serve(t, newBackend(test.role), ServerOptions{Limits: test.limits})
			ask := func(conn net.Conn) string {
				io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
				buffer := make([]byte, 64<<10)
				n, err := conn.Read(buffer)
				return fmt.Sprint(string(buffer[:n]), err)
			}
			var open []net.Conn
			for range test.fit {
				conn := connect(t, path)
				if got := ask(conn); !strings.HasPrefix(got, "HTTP/1.1 200") {
					t.Fatalf("within the limit: %s", got)
				}
				open = append(open, conn)
			}
			excess := connect(t, path)
			got := ask(excess)
			for _, want := range []string{"HTTP/1.1 429", "Connection: close", "Retry-After: 5", `"too_many_requests"`} {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in %s", want, got)
				}
			}
			wantEnd(t, excess)
			open[0].Close()
			for deadline := time.Now().Add(5 * time.Second); ; {
				if strings.HasPrefix(ask(connect(t, path)), "HTTP/1.1 200") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("a closed connection still counts")
				}
			}
		})
	}
}

// Whatever happened to connections, none counts for ever.
func TestCountsReturnToZero(t *testing.T) {
	server, path := serve(t, newBackend(0), ServerOptions{Limits: Limits{PerStranger: 2, PerAccount: 5}})
	for range 100 {
		conn := connect(t, path)
		io.WriteString(conn, "GET /v1/status HTTP/1.0\r\n\r\n")
		defer conn.Close()
	}
	counts := func() (text string) {
		server.counter.mu.Lock()
		defer server.counter.mu.Unlock()
		return fmt.Sprint(len(server.counter.open), server.counter.pools[:closed], server.counter.accounts)
	}
	for deadline := time.Now().Add(5 * time.Second); counts() != "0 [0 0 0] map[]"; {
		if time.Now().After(deadline) {
			t.Fatal(counts())
		}
		time.Sleep(time.Millisecond)
	}
}
