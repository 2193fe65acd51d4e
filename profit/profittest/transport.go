package profittest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"syscall"
)

// Transport carries the requests of an http.Client to this Profit without sockets, faults included: what a fault cuts
// ends in an error. It reports to net/http/httptrace that a connection is asked for and got. The client's address is
// 192.0.2.1.
func (p *Profit) Transport() http.RoundTripper { return transport{p} }

type transport struct{ profit *Profit }

var errCut = errors.New("the simulator cut the connection")

// RoundTrip ends with the request's context, while Profit does its work to the end.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(r.URL.Host)
	}
	body, err := readAndClose(r.Body)
	if err != nil {
		return nil, err
	}
	if t.profit.isUnreachable() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	incoming := r.Clone(context.WithoutCancel(ctx))
	incoming.Header = make(http.Header, len(r.Header))
	for name, values := range r.Header { // as a server reads them, however the client spells them
		incoming.Header[http.CanonicalHeaderKey(name)] = values
	}
	incoming.Body = io.NopCloser(bytes.NewReader(body))
	incoming.RemoteAddr = "192.0.2.1:49152"
	answered := make(chan *recorder, 1)
	go func() {
		w := &recorder{header: make(http.Header)}
		defer func() {
			if w.failed = recover(); w.failed != nil && w.failed != http.ErrAbortHandler {
				panic(w.failed)
			}
			answered <- w
		}()
		t.profit.ServeHTTP(w, incoming)
	}()
	select {
	case w := <-answered:
		return w.response(r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func readAndClose(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	return io.ReadAll(body)
}

// recorder is the response as the handler writes it.
type recorder struct {
	header http.Header
	status int // 0: nothing was written
	body   bytes.Buffer
	failed any // what the handler panicked with
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Flush()                      {}

// response gives what came through before a cut, if there was one.
func (w *recorder) response(r *http.Request) (*http.Response, error) {
	if w.status == 0 {
		return nil, errCut
	}
	length, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	var body io.Reader = &w.body
	if w.failed != nil {
		body = io.MultiReader(body, failing{})
	}
	return &http.Response{
		Status:        strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          io.NopCloser(body),
		ContentLength: length,
		Request:       r,
	}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
