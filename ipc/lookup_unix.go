//go:build unix

package ipc

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// lookupPeer asks NSS for the account's groups through id(1), which knows more than os/user does without cgo.
func lookupPeer(account string) (*Peer, error) {
	uid, err := lookupAccount(account)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), getentTimeout)
	defer cancel()
	number := strconv.FormatUint(uint64(uid), 10)
	output, err := exec.CommandContext(ctx, "id", "-G", "--", number).Output()
	ids := strings.Fields(string(output))
	if found, lookupErr := user.LookupId(number); err != nil && lookupErr == nil {
		ids, err = found.GroupIds()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the groups of the account %q: %w", account, err)
	}
	c := credentials{uid: uid, gid: noID}
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.groups = append(c.groups, uint32(gid))
		}
	}
	peer, err := name(c)
	return &peer, err
}
