package daemon

import (
	"cmp"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
	"weak"

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
	templated  []*connector // those with templates; none in one person's own instance
	accounts   index        // whom the lines name, but for templates
	groups     index

	mu      sync.RWMutex // guards what follows
	entries map[ipc.Ref]*entry
	byKey   map[string]*entry
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
	answer    atomic.Pointer[weak.Pointer[answer]]
}

// index finds the entries whose lines name an account or a group. It is sorted: a map of as much would be ten times as
// large.
type index []named

type named struct {
	form  string // folded
	entry *entry
}

func (n named) compare(other named) int {
	return cmp.Or(cmp.Compare(n.form, other.form), cmp.Compare(n.entry.ref.Connector, other.entry.ref.Connector))
}

// find returns those of one connector, or with an empty name of all.
func (i index) find(form, connector string) index {
	form = fold(form)
	from, _ := slices.BinarySearchFunc(i, form, func(n named, form string) int {
		return cmp.Or(cmp.Compare(n.form, form), cmp.Compare(n.entry.ref.Connector, connector))
	})
	count := sort.Search(len(i)-from, func(n int) bool {
		other := i[from+n]
		return other.form != form || connector != "" && other.entry.ref.Connector != connector
	})
	return i[from : from+count]
}

// answer is the token as applications get it, made for a view. An entry holds it weakly: it lasts while applications
// keep asking, and ten thousand tokens that nobody asks for take no memory.
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
				x := newEntry(c, line, line.ID)
				f.add(x)
				f.enter(x)
			}
		}
		if len(c.templates) > 0 && soleOwner == "" {
			f.templated = append(f.templated, c)
		}
	}
	slices.SortFunc(f.accounts, named.compare)
	slices.SortFunc(f.groups, named.compare)
	return f
}

// enter notes whom the entry's line names.
func (f *force) enter(x *entry) {
	if f.soleOwner != "" {
		f.accounts = append(f.accounts, named{fold(f.soleOwner), x})
		return
	}
	for _, account := range x.line.Accounts {
		f.accounts = append(f.accounts, named{fold(account), x})
	}
	for _, group := range x.line.Groups {
		f.groups = append(f.groups, named{fold(group), x})
	}
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
	f.entries[x.ref], f.byKey[x.key] = x, x
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

// made is the entry that a template makes of what is known by that key, nil if none does.
func (f *force) made(key, user string) *entry {
	for _, c := range f.templated {
		if line := c.lineFor(user); line != nil && config.Identity(c.Connector, user) == key {
			return newEntry(c, line, user)
		}
	}
	return nil
}
