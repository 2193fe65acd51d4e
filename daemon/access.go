package daemon

import (
	"runtime"
	"slices"
	"strings"

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
	if peer.Admin || f.conf != nil && names(f.conf.Helpdesk.Accounts, f.conf.Helpdesk.Groups, peer) {
		role |= ipc.Helpdesk
	}
	switch {
	case ref.User != "" && f.owns(peer, ref),
		ref.User == "" && len(f.owned(peer, ref.Connector)) > 0:
		role |= ipc.Owner
	}
	return role
}

// owns tells whether the caller is an owner of the entry.
func (f *force) owns(peer *ipc.Peer, ref ipc.Ref) bool {
	x := f.find(ref)
	if f.soleOwner != "" {
		return x != nil && slices.Contains(peer.Accounts, f.soleOwner)
	}
	if x != nil && !x.line.Template {
		return names(x.line.Accounts, x.line.Groups, peer)
	}
	c := f.connectors[ref.Connector]
	return c != nil && len(c.templates) > 0 && !f.named(peer, c.Name) && slices.Contains(c.made(peer), ref.User)
}

// owned lists the Profit users that are the caller's, of one connector or (with an empty name) of all.
func (f *force) owned(peer *ipc.Peer, connectorName string) []ipc.Ref {
	var refs []ipc.Ref
	listed := map[ipc.Ref]bool{}
	add := func(ref ipc.Ref) {
		if !listed[ref] && (connectorName == "" || ref.Connector == connectorName) {
			listed[ref] = true
			refs = append(refs, ref)
		}
	}
	if f.soleOwner != "" {
		if slices.Contains(peer.Accounts, f.soleOwner) {
			for _, x := range f.all() {
				add(x.ref)
			}
		}
		return refs
	}
	for _, x := range f.namedBy(peer) {
		add(x.ref)
	}
	for _, c := range f.connectors {
		if len(c.templates) > 0 && (connectorName == "" || c.Name == connectorName) && !f.named(peer, c.Name) {
			for _, user := range c.made(peer) {
				if ref := (ipc.Ref{Connector: c.Name, User: user}); f.owns(peer, ref) {
					add(ref)
				}
			}
		}
	}
	return refs
}

// namedBy lists the entries whose lines name the caller.
func (f *force) namedBy(peer *ipc.Peer) []*entry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var entries []*entry
	for _, account := range peer.Accounts {
		entries = append(entries, f.byAccount[fold(account)]...)
	}
	for _, group := range peer.Groups {
		entries = append(entries, f.byGroup[fold(group)]...)
	}
	return entries
}

// named tells whether a line of the connector names the caller by account, which wins over its templates.
func (f *force) named(peer *ipc.Peer, connectorName string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.ContainsFunc(peer.Accounts, func(account string) bool {
		return slices.ContainsFunc(f.byAccount[fold(account)], func(x *entry) bool { return x.ref.Connector == connectorName })
	})
}

// made lists the Profit users that the connector's templates make of the caller.
func (c *connector) made(peer *ipc.Peer) []string {
	var users []string
	for _, t := range c.templates {
		if user, ok := t.user(peer); ok && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

// user is the Profit user that the template makes of the caller, if it matches.
func (t template) user(peer *ipc.Peer) (string, bool) {
	account, matches := matching(t.Accounts, peer.Accounts)
	if !matches {
		_, matches = matching(t.Groups, peer.Groups)
		account = peer.Account
	}
	if !matches || strings.HasPrefix(account, "uid:") {
		return "", false
	}
	domain, name, upn := parts(account)
	for _, form := range peer.Accounts {
		formDomain, _, formUPN := parts(form)
		if domain == "" {
			domain = formDomain
		}
		if upn == "" {
			upn = formUPN
		}
	}
	user := t.ID
	for placeholder, value := range map[string]string{"{name}": name, "{domain}": domain, "{upn}": upn} {
		if strings.Contains(t.ID, placeholder) && value == "" {
			return "", false
		}
		user = strings.ReplaceAll(user, placeholder, value)
	}
	return user, true
}

// parts takes an account apart: `CORP\jan`, jan@corp.example, or a bare name.
func parts(account string) (domain, name, upn string) {
	if domain, name, found := strings.Cut(account, `\`); found {
		return domain, name, ""
	}
	if name, domain, found := strings.Cut(account, "@"); found {
		return domain, name, account
	}
	return "", account, ""
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
