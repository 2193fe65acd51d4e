package profit

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// countedConn counts what leaves over a connection, below TLS.
type countedConn struct {
	net.Conn
	sent atomic.Int64
}

// Write counts what has been handed to the operating system.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// journey follows one request as far as it gets. A request that fails on a connection over which not a byte has gone
// since the connection was given to it cannot have reached Profit; the transport does not return before its writing
// has ended.
type journey struct {
	mu        sync.Mutex   // guards the fields below: a trace is called from several goroutines
	traced    bool         // the transport reports: what it does not report has not happened
	connected bool         // a connection was given to the request
	conn      *countedConn // that connection, where it is one of ours
	before    int64        // conn.sent when it was given
	handshake error        // how TLS failed
}

// follow has the transport report on the request that is made with the context.
func (j *journey) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.traced = true
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.handshake = err
		},
		GotConn: func(info httptrace.GotConnInfo) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.connected = true
			if j.conn = counted(info.Conn); j.conn != nil {
				j.before = j.conn.sent.Load()
			}
		},
	})
}

// counted finds our connection below one TLS connection, or two with a proxy that is reached over TLS.
func counted(conn net.Conn) *countedConn {
	for {
		switch c := conn.(type) {
		case *countedConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// reached says how far a request got that ended without an answer.
func (j *journey) reached() Reached {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.traced && !j.connected:
		return No
	case j.conn != nil && j.conn.sent.Load() == j.before:
		return No
	default:
		return Maybe
	}
}

// kind says how the request failed, given what the transport returned.
func (j *journey) kind(err error) Kind {
	j.mu.Lock()
	handshake := j.handshake
	j.mu.Unlock()
	switch {
	case distrust(err) || (handshake != nil && !lost(handshake)):
		return TLS
	case j.reached() == No:
		return Unreachable
	default:
		return Interrupted
	}
}

// distrust tells a refusal of the TLS connection, by either side, also where it comes after the handshake, as the
// demand for a client certificate does in TLS 1.3.
func distrust(err error) bool {
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	return errors.As(err, &verification) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// lost tells a connection that went away, or that nobody waited for any longer, from one that cannot be trusted.
func lost(err error) bool {
	var network net.Error
	return errors.As(err, &network) && !distrust(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
