package ipc

import (
	"context"
	"net/http"
)

// Who may make a call, as roles of which the caller needs one.
const (
	anyone          = Local // whom the kernel can name
	owner           = Owner
	ownerOrHelpdesk = Owner | Helpdesk
	selfOrHelpdesk  = self | Helpdesk

	self Role = 1 << 7 // the server's own: asks about itself
)

// route is one call.
type route struct {
	method, path string
	who          Role
	query        []string // the parameters that it takes
	serve        func(*call) (any, error)
}

var noRoute route // of a call that is none

// routes are all calls, and who may make them.
var routes = []route{
	{"GET", "/v1/status", anyone, nil, status},
	{"GET", "/v1/whoami", anyone, nil, whoami},
	{"GET", "/v1/tokens", ownerOrHelpdesk, nil, entries},
	{"GET", "/v1/tokens/{connector}", owner, tokenQuery, token},
	{"GET", "/v1/tokens/{connector}/{user}", owner, tokenQuery, token},
	{"POST", "/v1/tokens/{connector}/{user}/code", ownerOrHelpdesk, nil, code},
	{"POST", "/v1/tokens/{connector}/{user}/activate", owner, nil, activate},
	{"POST", "/v1/tokens/{connector}/{user}/reject", owner, nil, reject},
	{"POST", "/v1/tokens/{connector}/{user}/reset", ownerOrHelpdesk, nil, reset},
	{"GET", "/v1/tokens/{connector}/{user}/explain", selfOrHelpdesk, []string{"account"}, explain},
	{"GET", "/v1/events", ownerOrHelpdesk, nil, events},
}

var tokenQuery = []string{"wait", "until", "method", "url"}

func status(c *call) (any, error) {
	status, err := c.server.backend.Status(c.server.running, c.peer)
	status.API = []string{"v1"}
	status.Configuration.Files = present(status.Configuration.Files)
	if status.Entries == nil {
		status.Entries = map[State]int{}
	}
	if c.server.version != "" {
		status.Version = c.server.version
	}
	return status, err
}

func whoami(c *call) (any, error) {
	answer := Whoami{Accounts: c.peer.Accounts, Groups: present(c.peer.Groups), PID: c.peer.PID, Roles: []string{}}
	answer.Program = program(c.conn.Conn, c.conn.credentials)
	roles := c.server.roles(c.peer, Ref{})
	if roles&Owner != 0 {
		answer.Roles = append(answer.Roles, "owner")
	}
	if roles&Helpdesk != 0 {
		answer.Roles = append(answer.Roles, "helpdesk")
	}
	return answer, nil
}

func entries(c *call) (any, error) {
	list, err := c.server.backend.Entries(c.server.running, c.peer)
	return EntryList{Entries: present(list)}, err
}

// present returns a list that is [] in JSON, not null, when it is empty.
func present[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func token(c *call) (any, error) {
	query, err := c.tokenQuery()
	if err != nil {
		return nil, err
	}
	ctx := c.server.running
	if query.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = c.whileCallerWaits()
		defer cancel()
	}
	return c.server.backend.Token(ctx, c.peer, c.ref, query)
}

func code(c *call) (any, error) {
	if err := c.object(nil); err != nil {
		return nil, err
	}
	return c.server.backend.Code(c.server.running, c.peer, c.ref)
}

func activate(c *call) (any, error) {
	var text string
	err := c.object(map[string]any{"code": &text})
	if err != nil {
		return nil, err
	}
	code, err := ParseActivationCode(text)
	if err != nil {
		return nil, err
	}
	return c.server.backend.Activate(c.server.running, c.peer, c.ref, code)
}

func reject(c *call) (any, error) {
	if err := c.object(nil); err != nil {
		return nil, err
	}
	return c.server.backend.Reject(c.server.running, c.peer, c.ref)
}

func reset(c *call) (any, error) {
	request := DefaultReset
	err := c.object(map[string]any{"revoke": &request.Revoke, "enrol": &request.Enrol, "dry_run": &request.DryRun})
	if err != nil {
		return nil, err
	}
	return c.server.backend.Reset(c.server.running, c.peer, c.ref, request)
}

func explain(c *call) (any, error) {
	return c.server.backend.Explain(c.server.running, c.peer, c.ref, c.query.Get("account"))
}

// events answers by itself, as things happen.
func events(c *call) (any, error) {
	ctx, cancel := c.whileCallerWaits()
	defer cancel()
	stream := &stream{call: c, control: http.NewResponseController(c.w), cancel: cancel}
	return nil, stream.serve(ctx)
}
