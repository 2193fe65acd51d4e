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
			c.credentials = credentials{uid: noID, gid: noID}
		}
		if g.server.counter.enter(c) {
			return c, nil
		}
		raw.Close()
	}
}

// conn is a connection whose other end is known.
type conn struct {
	net.Conn
	server      *Server
	credentials credentials
	pool        pool // guarded by server.counter.mu

	// Set before the first request, and never again.
	identified bool
	peer       Peer
	refused    bool // its pool is: every request gets that for an answer

	asked atomic.Bool // a byte of a request has come
	call  call        // the one under way; net/http lets there be no more
}

// Read finds out with its first call who is there: in the connection's own goroutine, since the system may take long
// to tell, and before any request, so that a stranger who says nothing counts as one.
func (c *conn) Read(buffer []byte) (int, error) {
	if !c.asked.Load() && c.server.stopping.Err() != nil {
		return 0, io.EOF
	}
	if !c.identified && !c.refused {
		c.identified = true
		c.peer = c.server.directory.peer(c.credentials)
		isStranger := c.server.roles(&c.peer, Ref{})&ownerOrHelpdesk == 0
		if isStranger && !c.server.counter.estrange(c) {
			return 0, io.EOF
		}
	}
	n, err := c.Conn.Read(buffer)
	if n > 0 && !c.asked.Load() {
		c.asked.Store(true)
	}
	return n, err
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
