package daemon

import (
	"context"
	"fmt"

	"github.com/profitd/profitd/ipc"
)

// Explain says whether the account may have the token, by asking the very rules of access.go. What it tells a caller
// about itself is the same for an entry that is not there.
func (d *Daemon) Explain(_ context.Context, peer *ipc.Peer, ref ipc.Ref, account string) (ipc.Explanation, error) {
	f := d.inForce.Load()
	subject := peer
	helpdesk := f.helpdesk(peer)
	if account != "" && account != peer.Account {
		found, err := ipc.LookupPeer(account)
		if err != nil {
			return ipc.Explanation{}, ipc.NewError(ipc.InvalidRequest, "The system knows no such account.",
				"Write it as profitctl whoami shows it for that account.")
		}
		subject = found
	}
	e := ipc.Explanation{Account: subject.Account}
	x, c := f.find(ref), f.connectors[ref.Connector]
	switch line := f.lineOf(subject, ref); {
	case line != nil:
		e.Allowed, e.By = true, fmt.Sprintf("%s:%d", line.Pos.File, line.Pos.Line)
		e.Detail = "A line of the connector's users names this account, or a group of it."
		switch {
		case f.soleOwner != "":
			e.Detail = "This is the account's own instance, and everything in it is its own."
		case line.Template:
			e.Detail = "A template of the connector makes this Profit user of this account."
		}
	case f.soleOwner != "" && !names([]string{f.soleOwner}, nil, subject):
		e.Detail = "This is another account's own instance."
		e.Change = "Nothing can: that account alone gets its tokens."
	case helpdesk && c == nil:
		e.Detail = "The configuration in force has no such connector."
		e.Change = "An administrator adds the connector, or corrects its name."
	case helpdesk && f.soleOwner == "" && c.template(subject, ref.User) != nil && f.named(subject, c.Name):
		e.Detail = "A template would make this user of this account, but another line of the connector names the account, which wins."
		e.Change = "An administrator takes the account out of that line, or adds a line for this user."
	case helpdesk && x == nil:
		e.Detail = "The connector has no such user."
		e.Change = "An administrator adds a line under the connector's users, with this account or a group of it."
	case helpdesk:
		e.Detail = "The line of this user names neither this account nor a group of it."
		e.Change = fmt.Sprintf("An administrator adds the account or a group to the line at %s:%d.", x.line.Pos.File, x.line.Pos.Line)
	default:
		e.Detail = "No line of the configuration gives this account that token."
		e.Change = "An administrator adds one of the forms that profitctl whoami shows to accounts or groups of that user."
	}
	if !e.Allowed && subject.Admin {
		e.Detail += " Administrators see states and reset, but get a token only if a line names them."
	}
	return e, nil
}
