package config

import (
	"regexp"
	"strings"
)

// claims are what the connectors before have said of who gets which token. Their keys begin with a connector's
// Identity, without a user: the token's environment and API key.
type claims struct {
	lines     map[claim]Pos // of users written out
	users     map[string][]*User
	templates map[string][]*User // of users
}

// claim is one token: a connector's Identity, without a user, and the user.
type claim struct{ identity, user string }

func newClaims() *claims {
	return &claims{map[claim]Pos{}, map[string][]*User{}, map[string][]*User{}}
}

// unique sees to it that no two lines stand for one token, and that none could come to: which of two entries had it
// would depend on who asks first. Templates of one connector may overlap: an account gets what the first that matches
// makes of it.
func (c *connector) unique(taken *claims) {
	if c.BaseURL == "" || c.APIKey.IsZero() {
		return
	}
	identity := Identity(&c.Connector, "")
	for i := range c.Users {
		u := &c.Users[i]
		if first, found := taken.lines[claim{identity, u.ID}]; found {
			c.l.problem(u.Pos, "%s.users has an id that stands at %s already, for the same environment and API key", dotted(c.path), first)
			continue
		}
		taken.lines[claim{identity, u.ID}] = u.Pos
		others := taken.templates[identity]
		if u.Template {
			others = taken.users[identity]
		}
		for _, other := range others {
			if shared(u, other) {
				c.l.problem(u.Pos, "%s.users has a line for Profit users whom the line at %s can have too, for the same environment and API key: "+
					"put both under one connector", dotted(c.path), other.Pos)
				break
			}
		}
	}
	for i := range c.Users {
		u := &c.Users[i]
		taken.users[identity] = append(taken.users[identity], u)
		if u.Template {
			taken.templates[identity] = append(taken.templates[identity], u)
		}
	}
}

// shared tells whether two lines, of which one is a template, can stand for the same Profit user.
func shared(a, b *User) bool {
	switch {
	case !a.Template:
		return TemplatePattern(b.ID).MatchString(a.ID)
	case !b.Template:
		return TemplatePattern(a.ID).MatchString(b.ID)
	}
	// Between its ends each can make anything, so the ends alone decide.
	aParts, bParts := placeholder.Split(a.ID, -1), placeholder.Split(b.ID, -1)
	return either(strings.HasPrefix, aParts[0], bParts[0]) &&
		either(strings.HasSuffix, aParts[len(aParts)-1], bParts[len(bParts)-1])
}

func either(is func(string, string) bool, a, b string) bool { return is(a, b) || is(b, a) }

// TemplatePattern matches the Profit users that a template's ID can make.
func TemplatePattern(id string) *regexp.Regexp {
	parts := placeholder.Split(id, -1)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".+") + "$")
}
