//go:build unix

package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// credentials are what the kernel says about the other end of a connection. See credentialsOf.
type credentials struct {
	uid, gid uint32
	groups   []uint32 // supplementary
	pid      int
}

// noID is what the kernel says where it has no uid or gid to tell: (uid_t)-1.
const noID = ^uint32(0)

// nobody is whom the kernel cannot name.
var nobody = credentials{uid: noID, gid: noID}

const unidentifiedHint = "Call from an account of this device, not from a container or user namespace of its own."

// accountID is what the connections of an account are counted by.
type accountID = uint32

func (c credentials) account() accountID { return c.uid }

// identifiedByWriting: the kernel tells at once who has connected.
const identifiedByWriting = false

func writerOf(net.Conn, credentials) (credentials, error) { panic("ipc: known already") }

// appendKey appends what tells these credentials from others', but not the process.
func (c credentials) appendKey(key []byte) []byte {
	for _, id := range append([]uint32{c.uid, c.gid}, c.groups...) {
		key = binary.NativeEndian.AppendUint32(key, id)
	}
	return key
}

// unidentified says whether the uid stands for accounts that have none here, those of other user namespaces.
func (c credentials) unidentified() bool { return c.uid == noID || c.uid == overflowUID() }

// The forms in which a configuration line names a number.
func uidForm(uid uint32) string { return "uid:" + strconv.FormatUint(uint64(uid), 10) }
func gidForm(gid uint32) string { return "gid:" + strconv.FormatUint(uint64(gid), 10) }

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

// control calls f with the connection's file descriptor.
func control(conn net.Conn, f func(fd uintptr)) error {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("this connection has no file descriptor")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}
