package ipc

import (
	"sync"
	"time"
)

// Limits bound what callers can take from the service. Fields that are zero have the values named here.
type Limits struct {
	Connections int // 2,048: in all
	PerAccount  int // 256: of one account
	Strangers   int // 64: of all accounts together that own nothing and are no helpdesk
	PerStranger int // 16: of one such account

	Headers   time.Duration // 5 s: for the headers of a request, and for the first request on a connection
	Body      time.Duration // 10 s: for the body of a request
	Write     time.Duration // 10 s: for a caller to take what is written to it, a part of an answer or an event
	Idle      time.Duration // 2 min: between two requests on a connection
	Heartbeat time.Duration // 15 s: between two signs of life on an event stream
}

// What cannot be set: the wire format is no larger.
const (
	maxBody    = 64 << 10
	maxHeaders = 16 << 10
	refusals   = 64 // connections beyond the limits that are told so; the rest are closed at once
)

func (l Limits) withDefaults() Limits {
	setDefault(&l.Connections, 2048)
	setDefault(&l.PerAccount, 256)
	setDefault(&l.Strangers, 64)
	setDefault(&l.PerStranger, 16)
	setDefault(&l.Headers, 5*time.Second)
	setDefault(&l.Body, 10*time.Second)
	setDefault(&l.Write, 10*time.Second)
	setDefault(&l.Idle, 2*time.Minute)
	setDefault(&l.Heartbeat, 15*time.Second)
	return l
}

func setDefault[T int | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// pool is what a connection counts as.
type pool int

const (
	accepted pool = iota // of an account, which may yet turn out to be a stranger
	stranger
	refused // told so with its first answer
	closed
)

// counter counts the open connections.
type counter struct {
	limits Limits

	mu       sync.Mutex         // guards the rest, and pool and account of each connection
	open     map[*conn]struct{} // all of them
	pools    [closed + 1]int    // how many are in each pool
	accounts map[accountID]int  // of an account, without refused ones
}

// enter counts a new connection, and says no if it is beyond everything.
func (n *counter) enter(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	full := n.pools[accepted]+n.pools[stranger] >= n.limits.Connections || n.accounts[c.account] >= n.limits.PerAccount
	if full && n.pools[refused] >= refusals {
		return false
	}
	n.open[c] = struct{}{}
	if full {
		c.pool, c.refused = refused, true
	} else {
		n.accounts[c.account]++
	}
	n.pools[c.pool]++
	return true
}

// estrange counts an accepted connection as a stranger's, and says no if it is beyond everything.
func (n *counter) estrange(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case c.pool == closed:
		return false
	case n.pools[stranger] < n.limits.Strangers && n.accounts[c.account] <= n.limits.PerStranger:
		n.moveLocked(c, stranger)
	default:
		return n.refuseLocked(c)
	}
	return true
}

// recount counts a connection as one of the account, once that is known, and says no if it is beyond everything.
func (n *counter) recount(c *conn, account accountID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.pool == closed {
		return false
	}
	n.uncountLocked(c)
	c.account = account
	n.accounts[account]++
	return n.accounts[account] <= n.limits.PerAccount || n.refuseLocked(c)
}

// refuseLocked lets a connection that is beyond its limit be told so, if not too many are.
func (n *counter) refuseLocked(c *conn) bool {
	if n.pools[refused] >= refusals {
		return false
	}
	n.moveLocked(c, refused)
	c.refused = true
	return true
}

func (n *counter) leave(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.pool != closed {
		n.moveLocked(c, closed)
		delete(n.open, c)
	}
}

func (n *counter) moveLocked(c *conn, next pool) {
	if c.pool != refused && next >= refused {
		n.uncountLocked(c)
	}
	n.pools[c.pool]--
	n.pools[next]++
	c.pool = next
}

func (n *counter) uncountLocked(c *conn) {
	n.accounts[c.account]--
	if n.accounts[c.account] == 0 {
		delete(n.accounts, c.account)
	}
}

// hangUpOnSilent ends the connections on which no request has begun, for which a graceful end would wait.
func (n *counter) hangUpOnSilent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		if !c.asked.Load() {
			_ = c.SetReadDeadline(time.Now())
		}
	}
}
