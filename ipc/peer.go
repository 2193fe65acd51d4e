package ipc

import (
	"log/slog"
	"sync"
	"time"
)

// Peer is who is calling, as the kernel says. It is a parameter wherever it matters, never a value out of a context.
//
// The kernel notes who it is when the connection is made, or on Windows when something is first written to it, so a
// process that ends, changes its account or hands the connection on changes nothing, and a process id that is used
// again inherits nothing: no right comes from the PID. It is made once for a connection and never changes.
type Peer struct {
	Account  string   // the caller in one word, for records and logs: "jan", or "uid:1000" where no name is known
	Accounts []string // every form that a configuration line could name: "jan", "uid:1000", `CORP\jan`, a SID
	Groups   []string // likewise: "helpdesk", "gid:1002"
	Admin    bool     // root; an elevated administrator or SYSTEM on Windows
	PID      int      // of the process that connected; by now it may be another's

	Anonymous bool // the system cannot say who this is: no rights
}

// How long a directory remembers names, and how many callers.
const (
	rememberNames = time.Minute
	retryNames    = 5 * time.Second // where the system gave no answer
	rememberPeers = 4096
)

// directory makes peers of credentials, which are what the kernel says about the other end of a connection. It asks
// the system for names at most once a minute for a caller, found or not; no lock is held meanwhile.
type directory struct {
	log *slog.Logger

	mu    sync.Mutex           // guards known, and until in its values
	known map[string]*identity // by account and groups, as appendKey has them
}

type identity struct {
	until time.Time
	ready chan struct{} // closed when peer is there
	peer  Peer          // without a PID
}

// peer returns the caller with these credentials.
func (d *directory) peer(c credentials) Peer {
	if c.unidentified() {
		return Peer{Account: "unidentified", PID: c.pid, Anonymous: true}
	}
	key := c.appendKey(make([]byte, 0, 256))
	d.mu.Lock()
	found, now := d.known[string(key)], time.Now()
	fresh := found == nil || now.After(found.until)
	if fresh {
		if len(d.known) >= rememberPeers || d.known == nil {
			d.known = make(map[string]*identity)
		}
		found = &identity{until: now.Add(rememberNames), ready: make(chan struct{})}
		d.known[string(key)] = found
	}
	d.mu.Unlock()
	if fresh {
		var err error
		found.peer, err = name(c)
		if err != nil {
			d.log.Warn("the system does not tell the names of a caller", "account", found.peer.Account, "error", err)
			d.mu.Lock()
			found.until = time.Now().Add(retryNames)
			d.mu.Unlock()
		}
		close(found.ready)
	}
	<-found.ready
	peer := found.peer
	peer.PID = c.pid
	return peer
}
