package daemon

import (
	"iter"
	"runtime"
	"slices"
	"strings"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/ipc"
)

// The rules, all of them:
//
//   - Who cannot be identified may do nothing.
//   - helpdesk is root (an elevated administrator, SYSTEM), and who is named under [helpdesk] by account or group.
//   - owner of an entry is who its line names, by account or group.
//   - owner of a template's entry is the one account from whose name the template makes that Profit user. A line of
//     the same connector that names the account wins over its templates.
//   - One person's own instance (Options.SoleOwner) has that account as the owner of everything, and no other.
//
// A caller is compared in every form that the kernel and the system's accounts give it. What a role may do stands in
// the route table of package ipc.

// Roles says what the caller may do with the entry, or with the service as a whole.
func (d *Daemon) Roles(peer *ipc.Peer, ref ipc.Ref) ipc.Role {
	f := d.inForce.Load()
	if peer.Anonymous {
		return 0
	}
	role := ipc.Local
	if f.helpdesk(peer) {
		role |= ipc.Helpdesk
	}
	if ref.User != "" && f.owns(peer, ref) || ref.User == "" && f.ownsAny(peer, ref.Connector) {
		role |= ipc.Owner
	}
	return role
}

func (f *force) helpdesk(peer *ipc.Peer) bool {
	return !peer.Anonymous && (peer.Admin || f.conf != nil && names(f.conf.Helpdesk.Accounts, f.conf.Helpdesk.Groups, peer))
}

// owns tells whether the caller is an owner of the entry.
func (f *force) owns(peer *ipc.Peer, ref ipc.Ref) bool { return f.lineOf(peer, ref) != nil }

// lineOf returns the line by which the caller is an owner of the entry, or nil.
func (f *force) lineOf(peer *ipc.Peer, ref ipc.Ref) *config.User {
	x, c := f.find(ref), f.connectors[ref.Connector]
	switch {
	case peer.Anonymous || c == nil:
	case f.soleOwner != "":
		if x != nil && names([]string{f.soleOwner}, nil, peer) {
			return x.line
		}
	case x != nil && !x.line.Template:
		if names(x.line.Accounts, x.line.Groups, peer) {
			return x.line
		}
	case !f.named(peer, c.Name):
		return c.template(peer, ref.User)
	}
	return nil
}

// named tells whether a line of the connector names the caller by account, which wins over its templates.
func (f *force) named(peer *ipc.Peer, connector string) bool {
	return slices.ContainsFunc(peer.Accounts, func(account string) bool {
		return len(f.accounts.find(account, connector)) > 0
	})
}

// template returns the line that makes that Profit user of the caller, or nil.
func (c *connector) template(peer *ipc.Peer, user string) *config.User {
	for _, t := range c.templates {
		if made, ok := t.user(peer); ok && made == user {
			return t.User
		}
	}
	return nil
}

// owned yields what is the caller's of one connector, or with an empty name of all; something perhaps twice.
func (f *force) owned(peer *ipc.Peer, connector string) iter.Seq[ipc.Ref] {
	return func(yield func(ipc.Ref) bool) {
		if peer.Anonymous {
			return
		}
		for _, account := range peer.Accounts {
			for _, found := range f.accounts.find(account, connector) {
				if !yield(found.entry.ref) {
					return
				}
			}
		}
		for _, group := range peer.Groups {
			for _, found := range f.groups.find(group, connector) {
				if !yield(found.entry.ref) {
					return
				}
			}
		}
		for _, c := range f.templated {
			if connector != "" && connector != c.Name {
				continue
			}
			for _, t := range c.templates {
				user, ok := t.user(peer)
				ref := ipc.Ref{Connector: c.Name, User: user}
				if ok && f.owns(peer, ref) && !yield(ref) {
					return
				}
			}
		}
	}
}

func (f *force) ownsAny(peer *ipc.Peer, connector string) bool {
	for range f.owned(peer, connector) {
		return true
	}
	return false
}

// names tells whether a line's accounts or groups name the caller.
func names(accounts, groups []string, peer *ipc.Peer) bool {
	_, byAccount := matching(accounts, peer.Accounts)
	if byAccount {
		return true
	}
	_, byGroup := matching(groups, peer.Groups)
	return byGroup
}

// matching finds the form of the caller that one of a line's patterns names.
func matching(patterns, forms []string) (form string, ok bool) {
	for _, pattern := range patterns {
		for _, form := range forms {
			if matches(pattern, form) {
				return form, true
			}
		}
	}
	return "", false
}

// matches compares one pattern with one form. A "*" stands for any name within the domain that is written out.
func matches(pattern, form string) bool {
	pattern, form = fold(pattern), fold(form)
	if before, after, found := strings.Cut(pattern, "*"); found {
		return len(form) > len(before)+len(after) && strings.HasPrefix(form, before) && strings.HasSuffix(form, after)
	}
	return pattern == form
}

// fold is how accounts and groups are compared: Windows does not tell upper from lower case, others do.
func fold(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToLower(name)
	}
	return name
}
