package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// ServerOptions are options of NewServer; zero values work.
type ServerOptions struct {
	// Log gets failures, and at debug level a line for each request: who asked what and how it ended, never a body.
	Log     *slog.Logger
	Version string // told in the status; when empty, the backend's
	Limits  Limits
}

// Server serves a Backend to the programs of this device.
type Server struct {
	backend   Backend
	version   string
	log       *slog.Logger
	limits    Limits
	directory directory
	counter   counter
	http      http.Server

	stopping context.Context // ends when Shutdown begins: waits and event streams end with it
	stop     context.CancelFunc
	running  context.Context // ends when Shutdown does: calls run with it, whoever hangs up
	cut      context.CancelFunc
}

// NewServer returns a server, which serves what Serve is given.
func NewServer(backend Backend, options ServerOptions) *Server {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{backend: backend, version: options.Version, log: options.Log, limits: options.Limits.withDefaults()}
	s.directory.log = s.log
	s.counter = counter{limits: s.limits, open: make(map[*conn]struct{}), accounts: make(map[accountID]int)}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.running, s.cut = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:                      s,
		ConnContext:                  remember,
		ReadHeaderTimeout:            s.limits.Headers,
		IdleTimeout:                  s.limits.Idle,
		MaxHeaderBytes:               maxHeaders - 4096, // net/http reads so much more
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&gate{l, s})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown takes no more requests, ends waits and event streams at once, and lets the other calls finish. When ctx
// ends before they have, they are cut off and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.counter.hangUpOnSilent()
	err := s.http.Shutdown(ctx)
	s.cut()
	if err != nil {
		s.http.Close()
	}
	return err
}

// ServeHTTP is for net/http, which calls it for requests on connections that Serve accepted.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	conn, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		panic("ipc: a Server serves what its own Serve accepts")
	}
	c := &conn.call
	*c = call{server: s, conn: conn, peer: &conn.peer, w: w, r: r, route: &noRoute}
	answer, err := c.run()
	status := http.StatusOK
	switch {
	case c.answered: // an event stream, which has ended
	case err != nil:
		status = c.refuse(err)
	default:
		c.write(status, jsonType, answer)
	}
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("request", "account", c.peer.Account, "pid", c.peer.PID, "method", c.route.method,
			"route", c.route.path, "entry", c.ref.String(), "status", status, "took", time.Since(started))
	}
	*c = call{} // nothing of it outlives it on an idle connection
}

// run makes the call and returns the body of its answer.
func (c *call) run() (answer []byte, err error) {
	defer func() {
		if recover() != nil {
			c.server.logPanic()
			answer, err = nil, NewError(Internal, "profitd ran into a fault of its own.", "Look at what the service logged.")
		}
	}()
	if err := c.parse(); err != nil {
		return nil, err
	}
	if !c.allowed(c.ref) {
		return nil, denied
	}
	value, err := c.route.serve(c)
	ref := c.ref
	if token, ok := value.(*Token); ok && token != nil {
		ref.User = token.User
	}
	if !c.allowed(ref) { // no longer
		return nil, denied
	}
	if err != nil {
		return nil, err
	}
	return encode(value)
}

// denied is the one answer to all that a caller has no right to.
var denied = NewError(Denied, "This account has no right to this, or it does not exist.",
	"profitctl whoami shows how profitd sees this account, profitctl explain what would have to change.")

// allowed says whether the caller may, at this moment, make this call about the entry.
func (c *call) allowed(ref Ref) bool {
	role := c.server.roles(c.peer, ref)
	if c.own {
		role |= self
	}
	return role&c.route.who != 0
}

// roles asks the backend for the caller's rights; whoever cannot be identified has none, nor has anybody while the
// backend fails.
func (s *Server) roles(peer *Peer, ref Ref) (role Role) {
	if peer.Anonymous {
		return 0
	}
	defer func() {
		if recover() != nil {
			s.logPanic()
			role = 0
		}
	}()
	return s.backend.Roles(peer, ref)&ownerOrHelpdesk | Local
}

// logPanic tells where a panic was, but not what it was about: that could be anything.
func (s *Server) logPanic() { s.log.Error("panic in a call", "stack", string(debug.Stack())) }

// refuse answers with an error and returns its status.
func (c *call) refuse(err error) int {
	var problem *Error
	switch {
	case errors.As(err, &problem):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		problem = NewError(Pending, "The wait was ended before there was a token.", "Ask again.")
	default:
		c.server.log.Error("cannot answer", "route", c.route.path, "entry", c.ref.String(), "error", err)
		problem = NewError(Internal, "profitd could not do this.", "Look at what the service logged.")
	}
	problem = problem.complete()
	body, err := encode(problem)
	if err != nil {
		body = nil
	}
	if problem.RetryAfter > 0 {
		seconds := (problem.RetryAfter + time.Second - 1) / time.Second
		c.w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	c.write(problem.Status, problemType, body)
	return problem.Status
}

// Values of headers, made once: net/http takes them as they are.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	streamType  = []string{"text/event-stream"}
	noStore     = []string{"no-store"}
)

// write sends a whole answer, with its length: it is never chunked.
func (c *call) write(status int, contentType []string, body []byte) {
	header := c.w.Header()
	header["Content-Type"] = contentType
	header["Cache-Control"] = noStore
	if len(body) > 1024 { // net/http itself counts an answer that fits into its buffer
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a caller that has gone needs no answer
}

// encode returns the JSON of a value, for people to read too: "<" stays "<".
func encode(value any) ([]byte, error) {
	if token, ok := value.(*Token); ok && token.encoded != nil {
		return token.encoded, nil
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
