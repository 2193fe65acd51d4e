package daemon

import (
	"context"
	"time"
	"weak"

	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
)

// Token answers from memory when there is a token. When there is none it lets the enroller know that the owner asks,
// and waits as long as the query says.
func (d *Daemon) Token(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, query ipc.TokenQuery) (*ipc.Token, error) {
	f := d.inForce.Load()
	if ref.User == "" {
		var err error
		if ref, err = f.only(peer, ref.Connector); err != nil {
			return nil, err
		}
	}
	x := f.find(ref)
	if x != nil {
		if token := f.token(x); token != nil {
			return token, nil
		}
	}
	return d.awaitToken(ctx, peer, ref, query)
}

// only is the caller's one user of the connector.
func (f *force) only(peer *ipc.Peer, connector string) (only ipc.Ref, err error) {
	for ref := range f.owned(peer, connector) {
		if only != ref && only.User != "" {
			return ipc.Ref{}, ipc.NewError(ipc.AmbiguousUser, "This account may have the tokens of several users there.",
				"Name the user as well; profitctl list shows them.")
		}
		only = ref
	}
	if only.User == "" {
		return ipc.Ref{}, noSuchEntry
	}
	return only, nil
}

// token is the entry's token as applications get it, or nil.
func (f *force) token(x *entry) *ipc.Token {
	view := x.handle.View()
	if kept := x.answer.Load(); kept != nil {
		if made := kept.Value(); made != nil && made.view == view {
			return made.token
		}
	}
	if view.Token.IsZero() || view.Orphan {
		return nil
	}
	token := &ipc.Token{
		Connector: x.ref.Connector, User: x.ref.User, Device: f.conf.Device.Description,
		Description: x.connector.Description, BaseURL: x.connector.BaseURL,
		Headers:  map[string]string{"Authorization": view.Token.Authorization()},
		Token:    view.Token.Secret(),
		IssuedAt: moment(view.Status.IssuedAt),
		// No ValidUntil: a classic token can be replaced or withdrawn on any day, so applications ask each time.
	}
	if id := x.connector.IntegrationID; id != "" {
		token.Headers["IntegrationId"] = id
	}
	if err := token.Encode(); err != nil {
		return token // the server makes the same attempt, and reports it
	}
	kept := weak.Make(&answer{view, token})
	x.answer.Store(&kept)
	return token
}

// awaitToken asks for the token and waits for it. A reload meanwhile may take the right away, or make the entry
// another one, for which it asks as well.
func (d *Daemon) awaitToken(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, query ipc.TokenQuery) (*ipc.Token, error) {
	timer := time.NewTimer(query.Wait)
	defer timer.Stop()
	for asked := ""; ; {
		x, err := d.entryFor(ctx, peer, ref)
		if err != nil {
			return nil, err
		}
		if x.key != asked {
			if _, err := d.enrol.Ask(x.key, peer.Account); err != nil {
				return nil, problem(err)
			}
			asked = x.key
		}
		changed := d.hub.wait(x.key)
		f := d.inForce.Load()
		if !f.owns(peer, ref) {
			return nil, noSuchEntry
		}
		if f.find(ref) != x {
			continue // it has been replaced just now
		}
		if token := f.token(x); token != nil {
			return token, nil
		}
		view := x.handle.View()
		if query.Wait <= 0 || !worthWaiting(view, query.UntilActive) {
			return nil, noToken(view)
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, noToken(view)
		case <-ctx.Done():
			return nil, noToken(view)
		}
	}
}

// worthWaiting tells whether the entry is on its way to a token without anybody's help, or with that of the person
// with the mail.
func worthWaiting(view *enrol.View, untilActive bool) bool {
	switch view.State() {
	case enrol.Requesting, enrol.Validating, enrol.Storing:
		return true
	case enrol.Orphaned:
		return true // not for long: a reload is taking it away, or putting another one in its place
	case enrol.AwaitingCode:
		return untilActive
	}
	return false
}
