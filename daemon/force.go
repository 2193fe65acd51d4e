package daemon

import (
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
	insteadOf  error          // why the files on disk are not this; nil: they are
	loadedAt   time.Time
	soleOwner  string // of Options
	order      []*connector
	connectors map[string]*connector
	templated  []*connector // those with templates

	mu      sync.RWMutex // guards the entries and their indexes
	entries map[ipc.Ref]*entry
	byKey   map[string]*entry
	holders map[holder][]*entry
}

// connector is one connector of the configuration with its client of Profit.
type connector struct {
	*config.Connector
	client    *profit.Client // of the one that is in force
	revision  string         // likewise
	templates []template
}

// entry is one user of one connector, as far as the configuration is concerned.
type entry struct {
	ref       ipc.Ref
	key       string
	connector *connector
	line      *config.User  // what names its accounts; a template's line for an entry that one made
	handle    *enrol.Handle // of what is in force
	answer    atomic.Pointer[answer]
}

// holder is who is named by a line: an account or a group, of a connector or (with an empty name) of any.
type holder struct {
	connector string
	group     bool
	form      string // folded
}

// answer is the token as applications get it, made once for each view.
type answer struct {
	view  *enrol.View
	token *ipc.Token
}

// newForce arranges a configuration, or none. Nothing outside it changes or is asked.
func newForce(conf *config.Config, soleOwner string) *force {
	f := &force{
		conf:       conf,
		loadedAt:   time.Now(),
		soleOwner:  soleOwner,
		connectors: map[string]*connector{},
		entries:    map[ipc.Ref]*entry{},
		byKey:      map[string]*entry{},
		holders:    map[holder][]*entry{},
	}
	if conf == nil {
		return f
	}
	for i := range conf.Connectors {
		c := &connector{Connector: &conf.Connectors[i]}
		f.order = append(f.order, c)
		f.connectors[c.Name] = c
		for j := range c.Users {
			if line := &c.Users[j]; line.Template {
				c.templates = append(c.templates, newTemplate(line))
			} else {
				f.addLocked(newEntry(c, line, line.ID)) // nobody else knows f
			}
		}
		if len(c.templates) > 0 {
			f.templated = append(f.templated, c)
		}
	}
	return f
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

// add makes an entry part of what is in force.
func (f *force) add(x *entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addLocked(x)
}

func (f *force) addLocked(x *entry) {
	f.entries[x.ref], f.byKey[x.key] = x, x
	accounts, groups := x.line.Accounts, x.line.Groups
	switch {
	case f.soleOwner != "":
		accounts, groups = []string{f.soleOwner}, nil
	case x.line.Template:
		accounts, groups = nil, nil // whom it belongs to, the template says
	}
	for i, forms := range [][]string{accounts, groups} {
		for _, form := range forms {
			for _, connector := range []string{x.ref.Connector, ""} {
				h := holder{connector, i == 1, fold(form)}
				f.holders[h] = append(f.holders[h], x)
			}
		}
	}
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

// namedBy returns the entries whose lines name the holder.
func (f *force) namedBy(h holder) []*entry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.holders[h] // only ever appended to
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

// made is the entry that a template makes of what is known by that key, nil if none does.
func (f *force) made(key, user string) *entry {
	for _, c := range f.templated {
		if line := c.lineFor(user); line != nil && config.Identity(c.Connector, user) == key {
			return newEntry(c, line, user)
		}
	}
	return nil
}
