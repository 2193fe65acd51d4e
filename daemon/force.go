package daemon

import (
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit"
)

// force is the configuration that is in force, arranged for answering. A reload makes a new one; only the entries
// of templates are added to it as accounts ask.
type force struct {
	conf       *config.Config // nil: there has never been a good one
	loadedAt   time.Time
	connectors map[string]*connector
	soleOwner  string // of Options

	mu        sync.RWMutex // guards the entries and their indexes
	entries   map[ipc.Ref]*entry
	byKey     map[string]*entry
	byAccount map[string][]*entry // by folded account that a line names
	byGroup   map[string][]*entry
}

// connector is one connector of the configuration with its client of Profit.
type connector struct {
	*config.Connector
	client    *profit.Client
	revision  string
	templates []template
}

// template is a line that makes an entry for each account that matches.
type template struct {
	*config.User
	ids *regexp.Regexp // the Profit users that it can make
}

// entry is one user of one connector, as far as the configuration is concerned.
type entry struct {
	ref       ipc.Ref
	key       string
	connector *connector
	line      *config.User // what names its accounts; a template's line for an entry that one made
	handle    *enrol.Handle
	answer    atomic.Pointer[answer]
}

// answer is the token as applications get it, made once for each view.
type answer struct {
	view  *enrol.View
	token *ipc.Token
}

func newForce(conf *config.Config) *force {
	return &force{
		conf:       conf,
		loadedAt:   time.Now(),
		connectors: map[string]*connector{},
		entries:    map[ipc.Ref]*entry{},
		byKey:      map[string]*entry{},
		byAccount:  map[string][]*entry{},
		byGroup:    map[string][]*entry{},
	}
}

func newConnector(conf *config.Connector) *connector {
	c := &connector{Connector: conf}
	for i := range conf.Users {
		if conf.Users[i].Template {
			c.templates = append(c.templates, newTemplate(&conf.Users[i]))
		}
	}
	return c
}

func newEntry(c *connector, line *config.User, user string) *entry {
	return &entry{
		ref: ipc.Ref{Connector: c.Name, User: user}, key: config.Identity(c.Connector, user), connector: c, line: line,
	}
}

// enrolment is the entry as the enroller knows it.
func (x *entry) enrolment() enrol.Entry {
	c := x.connector
	return enrol.Entry{
		Key: x.key,
		About: enrol.About{
			Connector: c.Name, Description: c.Description, Environment: c.Environment, Type: c.Type, User: x.ref.User,
		},
		BaseURL: c.BaseURL, Client: c.client, OnRequest: x.line.OnRequest, Revision: c.revision,
	}
}

// add makes an entry part of what is in force, and returns it as the enroller knows it. The caller holds f.mu, or is
// the only one who knows f.
func (f *force) add(x *entry) enrol.Entry {
	f.entries[x.ref], f.byKey[x.key] = x, x
	if !x.line.Template {
		for _, account := range x.line.Accounts {
			f.byAccount[fold(account)] = append(f.byAccount[fold(account)], x)
		}
		for _, group := range x.line.Groups {
			f.byGroup[fold(group)] = append(f.byGroup[fold(group)], x)
		}
	}
	return x.enrolment()
}

// join adds an entry, unless somebody else just has: then it returns that one.
func (f *force) join(x *entry) *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if there := f.entries[x.ref]; there != nil {
		return there
	}
	f.add(x)
	return x
}

// find returns an entry, or nil.
func (f *force) find(ref ipc.Ref) *entry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.entries[ref]
}

// findKey returns the entry of that identity, or nil.
func (f *force) findKey(key string) *entry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.byKey[key]
}

// all returns the entries in no particular order.
func (f *force) all() []*entry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	entries := make([]*entry, 0, len(f.entries))
	for _, x := range f.entries {
		entries = append(entries, x)
	}
	return entries
}

// lineFor finds the template that can make that Profit user.
func (c *connector) lineFor(user string) *config.User {
	for _, t := range c.templates {
		if t.ids.MatchString(user) {
			return t.User
		}
	}
	return nil
}

func newTemplate(line *config.User) template {
	var pattern strings.Builder
	rest := line.ID
	for {
		before, after, found := strings.Cut(rest, "{")
		pattern.WriteString(regexp.QuoteMeta(before))
		_, after, closed := strings.Cut(after, "}")
		if !found || !closed {
			break
		}
		pattern.WriteString("(.+)")
		rest = after
	}
	return template{line, regexp.MustCompile("^" + pattern.String() + "$")}
}
