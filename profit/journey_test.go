package profit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"testing"
)

// brokenConn takes so many bytes and fails then.
type brokenConn struct {
	net.Conn
	takes int
}

func (c *brokenConn) Write(p []byte) (int, error) {
	n := min(c.takes, len(p))
	c.takes -= n
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// above stands for a TLS connection.
type above struct {
	net.Conn
	below net.Conn
}

func (c above) NetConn() net.Conn { return c.below }

// A kept-alive connection that has died is given out like any other. Only if it took no byte has nothing left us; a
// connection that is not ours to count tells nothing.
func TestReachedOverADeadConnection(t *testing.T) {
	tests := []struct {
		name  string
		conn  func() net.Conn
		bytes int
		want  Reached
	}{
		{"nothing written", func() net.Conn { return &countedConn{Conn: &brokenConn{takes: 0}} }, 10, No},
		{"part written", func() net.Conn { return &countedConn{Conn: &brokenConn{takes: 3}} }, 10, Maybe},
		{"all written", func() net.Conn { return &countedConn{Conn: &brokenConn{takes: 10}} }, 10, Maybe},
		{"below TLS", func() net.Conn { return above{below: &countedConn{Conn: &brokenConn{}}} }, 0, No},
		{"below TLS in TLS", func() net.Conn { return above{below: above{below: &countedConn{Conn: &brokenConn{}}}} }, 0, No},
		{"not counted", func() net.Conn { return above{below: &brokenConn{}} }, 0, Maybe},
		{"no connection told", func() net.Conn { return nil }, 0, Maybe},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var j journey
			trace := httptrace.ContextClientTrace(j.follow(context.Background()))
			conn := test.conn()
			if counted, ok := conn.(*countedConn); ok {
				counted.sent.Add(500) // by earlier requests
			}
			trace.GetConn("profit.example:443")
			trace.GotConn(httptrace.GotConnInfo{Conn: conn})
			if test.bytes > 0 {
				_, _ = conn.Write(make([]byte, test.bytes))
			}
			if got := j.reached(); got != test.want {
				t.Errorf("reached: %v, want %v", got, test.want)
			}
		})
	}
}

// A transport that reports nothing, such as one of a test, may have sent everything.
func TestReachedWithoutReports(t *testing.T) {
	var j journey
	if j.reached() != Maybe || j.kind(errors.New("gone")) != Interrupted {
		t.Errorf("reached: %v, kind %v", j.reached(), j.kind(errors.New("gone")))
	}
}
