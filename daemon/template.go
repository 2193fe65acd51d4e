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
	ids *regexp.Regexp // the Profit users that it can make
}

func newTemplate(line *config.User) template { return template{line, config.TemplatePattern(line.ID)} }

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

// lineFor finds the template that can make that Profit user, or nil.
func (c *connector) lineFor(user string) *config.User {
	for _, t := range c.templates {
		if t.ids.MatchString(user) {
			return t.User
		}
	}
	return nil
}
