package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// ClientOptions are options of NewClient; the zero value is right for most.
type ClientOptions struct {
	// Socket is where the service listens; empty is DefaultSocket.
	Socket string

	// ServerAccount is the account that the service runs as: a name, or "uid:1000". Root is right besides. When it is
	// empty, right are root, the caller's own account (profitd run --user), and the account to which root gave the
	// socket's directory: one that it owns, that nobody else can write to, below directories of root's that nobody
	// else can write to, as /run/profitd is.
	//
	// On Windows it is a name or a SID. SYSTEM and Administrators are right besides; when it is empty, those, the
	// service's virtual account NT SERVICE\profitd and the caller's own.
	ServerAccount string
}

// Client is a client of the service, safe for concurrent use. It keeps connections alive between calls.
//
// Every call ends with its context. Its error is an *Error from the service, an *UnreachableError, or the context's.
type Client struct {
	socket string
	links  links
}

// NewClient returns a client. It connects with the first call.
func NewClient(options ClientOptions) *Client {
	if options.Socket == "" {
		options.Socket = DefaultSocket()
	}
	return &Client{
		socket: options.Socket,
		links:  links{dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx, options) }},
	}
}

// Close closes the connections that are idle. The client remains usable.
func (c *Client) Close() { c.links.close() }

// Status tells about the service as a whole.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Whoami tells how the service sees the caller.
func (c *Client) Whoami(ctx context.Context) (Whoami, error) {
	return ask[Whoami](ctx, c, http.MethodGet, "/v1/whoami", nil)
}

// Entries lists what the caller owns, or for helpdesk everything.
func (c *Client) Entries(ctx context.Context) ([]Entry, error) {
	list, err := ask[EntryList](ctx, c, http.MethodGet, "/v1/tokens", nil)
	return list.Entries, err
}

// Token returns the entry's token. An empty User is the caller's one user of that connector.
func (c *Client) Token(ctx context.Context, ref Ref, query TokenQuery) (Token, error) {
	values := url.Values{}
	if query.Wait > 0 {
		values.Set("wait", query.Wait.String())
	}
	if query.UntilActive {
		values.Set("until", string(Active))
	}
	if query.Method != "" {
		values.Set("method", query.Method)
	}
	if query.URL != "" {
		values.Set("url", query.URL)
	}
	target := tokenPath(ref, "")
	if len(values) > 0 {
		target += "?" + values.Encode()
	}
	return ask[Token](ctx, c, http.MethodGet, target, nil)
}

// Code asks Profit to mail a code, also for an entry that is active: its token is served until the new one is.
func (c *Client) Code(ctx context.Context, ref Ref) (Entry, error) {
	return ask[Entry](ctx, c, http.MethodPost, tokenPath(ref, "code"), nil)
}

// Activate hands in the code that Profit mailed. On an active entry it changes nothing.
func (c *Client) Activate(ctx context.Context, ref Ref, code ActivationCode) (Entry, error) {
	body := map[string]string{"code": code.Reveal()}
	return ask[Entry](ctx, c, http.MethodPost, tokenPath(ref, "activate"), body)
}

// Reject reports that Profit refused the entry's token.
func (c *Client) Reject(ctx context.Context, ref Ref) (Entry, error) {
	return ask[Entry](ctx, c, http.MethodPost, tokenPath(ref, "reject"), nil)
}

// Reset throws the entry's token away; see DefaultReset.
func (c *Client) Reset(ctx context.Context, ref Ref, request ResetRequest) (Receipt, error) {
	return ask[Receipt](ctx, c, http.MethodPost, tokenPath(ref, "reset"), request)
}

// Explain says whether the account may have the entry's token, and why; an empty account is the caller itself.
func (c *Client) Explain(ctx context.Context, ref Ref, account string) (Explanation, error) {
	target := tokenPath(ref, "explain")
	if account != "" {
		target += "?account=" + url.QueryEscape(account)
	}
	return ask[Explanation](ctx, c, http.MethodGet, target, nil)
}

// Watch yields a snapshot of what Entries lists, then each change as it happens, until the caller stops or ctx ends.
// What ends it otherwise is its last pair, an error: also the service stopping is one, an *UnreachableError.
func (c *Client) Watch(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		response, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer response.Body.Close()
		for event, err := range readEvents(response.Body) {
			if err != nil {
				err = c.unreachable(ctx, "The connection to profitd ended", err)
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// tokenPath builds the path of a call about an entry.
func tokenPath(ref Ref, call string) string {
	path := "/v1/tokens/" + url.PathEscape(ref.Connector)
	if ref.User != "" || call != "" {
		path += "/" + url.PathEscape(ref.User)
	}
	if call != "" {
		path += "/" + call
	}
	return path
}

// maxAnswer is far above the list of a server with 10,000 entries.
const maxAnswer = 64 << 20

// ask makes a call and decodes its answer.
func ask[Answer any](ctx context.Context, c *Client, method, target string, body any) (answer Answer, err error) {
	response, err := c.send(ctx, method, target, body)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		return answer, c.unreachable(ctx, "cannot read the answer of profitd", err)
	}
	return answer, nil
}

// send makes a call and returns an answer that says OK; the caller closes its body.
func (c *Client) send(ctx context.Context, method, target string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://profitd"+target, content)
	if err != nil {
		return nil, fmt.Errorf("cannot write the request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "") // net/http sends its own otherwise
	response, err := c.links.roundTrip(ctx, request)
	if err != nil {
		return nil, c.unreachable(ctx, "cannot reach profitd", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.problem(response)
}

// problem makes an error of an answer that does not say OK.
func (c *Client) problem(response *http.Response) error {
	var problem Error
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(text, &problem)
	}
	if err != nil || problem.Code == "" {
		return &UnreachableError{
			Socket: c.socket,
			Detail: fmt.Sprintf("What answers on %s is not profitd: HTTP status %d.", c.socket, response.StatusCode),
			Hint:   "Is PROFITD_SOCKET right?",
		}
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err == nil && seconds > 0 {
		problem.RetryAfter = time.Duration(seconds) * time.Second
	}
	return &problem
}

// unreachable makes an error of a cause below the API, with what to do next.
func (c *Client) unreachable(ctx context.Context, what string, cause error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cannot wait longer for profitd: %w", context.Cause(ctx))
	}
	var already *UnreachableError
	if errors.As(cause, &already) {
		return already
	}
	e := &UnreachableError{Socket: c.socket, Err: cause, Hint: "Try again; if it remains, look at what the service logs."}
	e.Detail = fmt.Sprintf("%s on %s", what, c.socket)
	switch {
	case errors.Is(cause, fs.ErrNotExist):
		e.Detail += ": there is no such socket."
		e.Hint = "Is the service running? Start it with profitd start, or name another socket with PROFITD_SOCKET."
	case errors.Is(cause, syscall.ECONNREFUSED):
		e.Detail += ": nobody is listening."
		e.Hint = "The service has stopped. Start it with profitd start."
	case errors.Is(cause, fs.ErrPermission):
		e.Detail += ": this account may not connect."
		e.Hint = "The folders above the socket keep it out: every account must be able to enter them."
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		e.Detail += ": the service stopped, or ended the connection."
	default:
		e.Detail += ": " + cause.Error()
	}
	return e
}
