package ipc

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// gate is the server's listener.
type gate struct {
	net.Listener
	server *Server
}

// Accept returns the next connection that is within the limits or will be told that it is not.
func (g *gate) Accept() (net.Conn, error) {
	for {
		raw, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, server: g.server}
		c.credentials, err = credentialsOf(raw)
		if err != nil {
			c.credentials = nobody
		}
		c.account = c.credentials.account()
		if g.server.counter.enter(c) {
			return c, nil
		}
		raw.Close()
	}
}

// conn is a connection whose other end is known.
type conn struct {
	net.Conn
	server  *Server
	pool    pool      // guarded by server.counter.mu
	account accountID // counts it; likewise

	// Set before the first request, and never again.
	identified  bool
	credentials credentials
	peer        Peer
	refused     bool // its pool is: every request gets that for an answer

	asked atomic.Bool // a byte of a request has come
	call  call        // the one under way; net/http lets there be no more
}

// Read finds out with its first call who is there: in the connection's own goroutine, since the system may take long
// to tell, and before any request, so that a stranger who says nothing counts as one, where that can be known.
func (c *conn) Read(buffer []byte) (int, error) {
	if c.asked.Load() {
		return c.Conn.Read(buffer)
	}
	if c.server.stopping.Err() != nil || !identifiedByWriting && !c.identify() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(buffer)
	if n > 0 {
		if identifiedByWriting && !c.identify() {
			return 0, io.EOF
		}
		c.asked.Store(true)
	}
	return n, err
}

// identify finds out who is there, unless that is known or does not matter. It says no where there is no room.
func (c *conn) identify() bool {
	if c.identified || c.refused {
		return true
	}
	c.identified = true
	if identifiedByWriting {
		var err error
		if c.credentials, err = writerOf(c.Conn, c.credentials); err != nil {
			c.server.log.Debug("the system does not tell who is calling", "pid", c.credentials.pid, "error", err)
		}
		if !c.server.counter.recount(c, c.credentials.account()) {
			return false
		}
		if c.refused {
			return true
		}
	}
	c.peer = c.server.directory.peer(c.credentials)
	isStranger := c.server.roles(&c.peer, Ref{})&ownerOrHelpdesk == 0
	return !isStranger || c.server.counter.estrange(c)
}

// Write gives a caller that takes nothing the time that Limits names, then its connection is of no more use.
func (c *conn) Write(data []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.server.limits.Write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(data)
}

func (c *conn) Close() error {
	c.server.counter.leave(c)
	return c.Conn.Close()
}

// CloseWrite is what net/http does before it closes a connection on which a request is still being sent, so that the
// answer arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type connKey struct{}

// remember puts the connection where net/http lets a request find it again.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}
