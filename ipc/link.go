package ipc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// links makes the client's connections and keeps those that are idle. It does for one local service what an
// http.Transport does for any host, but in the goroutine of the caller: those that a Transport starts for each connection
// are half of what a process that lives for one call, such as profitctl token, spends on it.
type links struct {
	dial func(context.Context) (net.Conn, error)

	mu   sync.Mutex // guards idle
	idle []*link
}

const (
	maxIdle  = 8
	idleTime = time.Minute // less than the server's
)

// link is a connection to the service, with at most one call at a time.
type link struct {
	net.Conn
	reader *bufio.Reader
	end    *time.Timer // closes it while it is idle
}

// roundTrip makes one call. The context bounds it until the answer's body is closed, which every caller does.
//
// A call that may decide something goes over a new connection, so that it never meets one that the service has just
// closed and nothing has to be guessed or repeated. Any other is tried anew when an idle connection is at its end.
func (l *links) roundTrip(ctx context.Context, request *http.Request) (*http.Response, error) {
	for request.Method == http.MethodGet && ctx.Err() == nil {
		old := l.take()
		if old == nil {
			break
		}
		response, err := l.exchange(ctx, old, request)
		if err == nil || ctx.Err() != nil {
			return response, err
		}
	}
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	return l.exchange(ctx, &link{Conn: conn, reader: bufio.NewReader(conn)}, request)
}

// exchange sends a request over a link and reads the head of its answer.
func (l *links) exchange(ctx context.Context, on *link, request *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(ctx, func() { on.SetDeadline(time.Unix(1, 0)) })
	err := request.Write(on)
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(on.reader, request)
	}
	if err != nil {
		stop()
		on.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	response.Body = &body{ReadCloser: response.Body, links: l, link: on, stop: stop, last: response.Close}
	return response, nil
}

// take returns the connection that has been idle for the shortest time, if there is one.
func (l *links) take() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.idle) > 0 {
		last := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		if last.end.Stop() {
			return last
		}
	}
	return nil
}

// keep keeps a connection for the next call, for a while.
func (l *links) keep(idle *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == maxIdle {
		idle.Close()
		return
	}
	idle.end = time.AfterFunc(idleTime, func() { idle.Close() })
	l.idle = append(l.idle, idle)
}

// close closes what is idle.
func (l *links) close() {
	for idle := l.take(); idle != nil; idle = l.take() {
		idle.Close()
	}
}

// body is the body of an answer. Closed, it gives its connection back if that has nothing more to say.
type body struct {
	io.ReadCloser
	links  *links
	link   *link
	stop   func() bool // keeps the end of the context from touching the connection any more
	ended  bool        // it was read to its end
	last   bool        // the service closes the connection
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.stop() && b.ended && !b.last && b.link.reader.Buffered() == 0 {
		b.links.keep(b.link)
		return nil
	}
	return b.link.Close()
}
