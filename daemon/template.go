package daemon

import (
	"regexp"
	"strings"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/ipc"
)

// template is a line that makes an entry for each account that matches.
type template struct {
	*config.User
	ids            *regexp.Regexp // the Profit users that it can make
	prefix, suffix string         // with which they begin and end
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func newTemplate(line *config.User) template {
	parts := placeholder.Split(line.ID, -1)
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = regexp.QuoteMeta(part)
	}
	return template{line, regexp.MustCompile("^" + strings.Join(quoted, "(.+)") + "$"), parts[0], parts[len(parts)-1]}
}

// user is the Profit user that the template makes of the caller, if it matches.
func (t template) user(peer *ipc.Peer) (user string, ok bool) {
	account, matches := matching(t.Accounts, peer.Accounts)
	if !matches {
		_, matches = matching(t.Groups, peer.Groups)
	}
	if account == "" || isNumber(account) {
		account = peer.Account
	}
	if !matches || isNumber(account) {
		return "", false
	}
	domain, name, upn := parts(account)
	for _, form := range peer.Accounts { // what this form does not tell, another does
		formDomain, _, formUPN := parts(form)
		if domain == "" {
			domain = formDomain
		}
		if upn == "" {
			upn = formUPN
		}
	}
	values := []string{"{name}", name, "{domain}", domain, "{upn}", upn}
	for i := 0; i < len(values); i += 2 {
		if values[i+1] == "" && strings.Contains(t.ID, values[i]) {
			return "", false
		}
	}
	return strings.NewReplacer(values...).Replace(t.ID), true // at once: a name is never taken for a placeholder
}

// isNumber tells whether an account is one whose name the system does not know.
func isNumber(account string) bool {
	return strings.HasPrefix(account, "uid:") || strings.HasPrefix(account, "S-1-")
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

// overlaps tells whether two templates can make the same Profit user. Between its ends each can make anything, so
// the ends alone decide.
func (t template) overlaps(other template) bool {
	begins := strings.HasPrefix(t.prefix, other.prefix) || strings.HasPrefix(other.prefix, t.prefix)
	ends := strings.HasSuffix(t.suffix, other.suffix) || strings.HasSuffix(other.suffix, t.suffix)
	return begins && ends
}

// lineFor finds the template that can make that Profit user, or nil.
func (c *connector) lineFor(user string) *config.User {
	for _, t := range c.templates {
		if t.ids.MatchString(user) {
			return t.User
		}
	}
	return nil
}

// contested finds templates whose Profit users another connector can have too, from the same environment with the
// same API key. One token would then belong to two entries, and which of them has it would depend on who asks first.
func (f *force) contested() error {
	identities := map[string][]*connector{}
	for _, c := range f.order {
		identity := config.Identity(c.Connector, "")
		identities[identity] = append(identities[identity], c)
	}
	var problems config.Problems
	for _, c := range f.templated {
		for _, other := range identities[config.Identity(c.Connector, "")] {
			if other != c {
				problems = append(problems, c.contestedBy(other)...)
			}
		}
	}
	if problems == nil {
		return nil
	}
	return problems
}

// contestedBy finds what of the other connector the templates of this one can make.
func (c *connector) contestedBy(other *connector) (problems config.Problems) {
	for _, t := range c.templates {
		report := func(line *config.User) {
			problems = append(problems, config.Problem{
				File: t.Pos.File, Line: t.Pos.Line, Column: t.Pos.Column,
				Message: "connectors." + c.Name + " has a template for Profit users whom the line at " + line.Pos.String() +
					" can have too, for the same environment and API key: put both under one connector",
			})
		}
		for i := range other.Users {
			if line := &other.Users[i]; !line.Template && t.ids.MatchString(line.ID) {
				report(line)
			}
		}
		for _, theirs := range other.templates {
			if t.overlaps(theirs) {
				report(theirs.User)
			}
		}
	}
	return problems
}
