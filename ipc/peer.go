package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Peer is who is calling, as the kernel says. It is a parameter wherever it matters, never a value out of a context.
//
// The kernel notes who it is when the connection is made, so a process that ends, changes its account or hands the
// connection on changes nothing, and a process id that is used again inherits nothing: no right comes from the PID.
// It is made once for a connection and never changes.
type Peer struct {
	Account  string   // the caller in one word, for records and logs: "jan", or "uid:1000" where no name is known
	Accounts []string // every form that a configuration line could name: "jan", "uid:1000", `CORP\jan`, a SID
	Groups   []string // likewise: "helpdesk", "gid:1002"
	Admin    bool     // root; an elevated administrator or SYSTEM on Windows
	PID      int      // of the process that connected; by now it may be another's

	Anonymous bool // the system cannot say who this is: no rights
}

// credentials are what the kernel says about the other end of a connection.
type credentials struct {
	uid, gid uint32
	groups   []uint32 // supplementary
	pid      int
}

// noID is what the kernel says where it has no uid or gid to tell: (uid_t)-1.
const noID = ^uint32(0)

// unidentified says whether the uid stands for accounts that have none here, those of other user namespaces.
func (c credentials) unidentified() bool { return c.uid == noID || c.uid == overflowUID() }

// The forms in which a configuration line names a number.
func uidForm(uid uint32) string { return "uid:" + strconv.FormatUint(uint64(uid), 10) }
func gidForm(gid uint32) string { return "gid:" + strconv.FormatUint(uint64(gid), 10) }

// How long a directory remembers names, and how many callers.
const (
	rememberNames = time.Minute
	retryNames    = 5 * time.Second // where the system gave no answer
	rememberPeers = 4096
)

// directory makes peers of credentials. It asks the system for names at most once a minute for a caller, found or
// not; no lock is held meanwhile.
type directory struct {
	log *slog.Logger

	mu    sync.Mutex           // guards known, and until in its values
	known map[string]*identity // by uid, gid and groups, as bytes
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
	key := make([]byte, 0, 256)
	for _, id := range append([]uint32{c.uid, c.gid}, c.groups...) {
		key = binary.NativeEndian.AppendUint32(key, id)
	}
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

// name asks the system for the names of these credentials. With an error it returns the forms that need no names.
func name(c credentials) (Peer, error) {
	peer := Peer{Account: uidForm(c.uid), Admin: c.uid == 0}
	accounts, accountErr := lookupNames("passwd", []uint32{c.uid})
	for _, name := range accounts {
		peer.Account = name
		peer.Accounts = []string{name}
	}
	peer.Accounts = append(peer.Accounts, uidForm(c.uid))

	gids := append([]uint32{c.gid}, c.groups...)
	slices.Sort(gids)
	gids = slices.DeleteFunc(slices.Compact(gids), func(gid uint32) bool { return gid == noID || gid == overflowGID() })
	groups, groupErr := lookupNames("group", gids)
	for _, gid := range gids {
		if name, ok := groups[gid]; ok {
			peer.Groups = append(peer.Groups, name)
		}
		peer.Groups = append(peer.Groups, gidForm(gid))
	}
	return peer, errors.Join(accountErr, groupErr)
}

// lookupNames returns the names of those ids that have one in the database, "passwd" or "group". Without cgo os/user
// reads no more than /etc/passwd and /etc/group; getent knows what NSS knows: SSSD, LDAP, winbind.
func lookupNames(database string, ids []uint32) (map[uint32]string, error) {
	names := make(map[uint32]string, len(ids))
	var unknown []string
	for _, id := range ids {
		text := strconv.FormatUint(uint64(id), 10)
		if database == "passwd" {
			if found, err := user.LookupId(text); err == nil {
				names[id] = found.Username
				continue
			}
		} else if found, err := user.LookupGroupId(text); err == nil {
			names[id] = found.Name
			continue
		}
		unknown = append(unknown, text)
	}
	if len(unknown) == 0 {
		return names, nil
	}
	lines, err := getent(database, unknown...)
	for _, line := range lines {
		if id, err := strconv.ParseUint(line[2], 10, 32); err == nil && slices.Contains(unknown, line[2]) {
			names[uint32(id)] = line[0]
		}
	}
	return names, err
}

// lookupAccount returns the uid of an account's name, or of "uid:1000".
func lookupAccount(account string) (uint32, error) {
	text, isNumber := strings.CutPrefix(account, "uid:")
	if !isNumber {
		text = ""
		if found, err := user.Lookup(account); err == nil {
			text = found.Uid
		} else if lines, err := getent("passwd", account); err == nil && len(lines) == 1 {
			text = lines[0][2]
		}
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("cannot find the account %q", account)
	}
	return uint32(uid), nil
}

// getentTimeout is how long a directory service may take.
const getentTimeout = 5 * time.Second

// getent asks NSS, and returns the fields of each line that it found: name, password, number, and so on. A key that
// is not there is no error, nor is a system without getent.
func getent(database string, keys ...string) ([][]string, error) {
	path, err := exec.LookPath("getent")
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), getentTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, path, append([]string{database}, keys...)...)
	command.WaitDelay = time.Second
	output, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 { // at least one key was not found
		err = nil
	}
	var lines [][]string
	for line := range bytes.Lines(output) {
		if fields := strings.Split(strings.TrimSuffix(string(line), "\n"), ":"); len(fields) > 2 && fields[0] != "" {
			lines = append(lines, fields)
		}
	}
	return lines, err
}
