package ipc

import (
	"errors"
	"os/user"
	"slices"
)

// lookupPeer asks Windows, which may ask a domain controller. Groups within groups are left out where os/user does not
// tell them.
func lookupPeer(account string) (*Peer, error) {
	sid, err := lookupAccount(account)
	if err != nil {
		return nil, err
	}
	c := credentials{sid: sid, admin: sid == systemSID}
	found, groupErr := user.LookupId(sid)
	if groupErr == nil {
		c.groups, groupErr = found.GroupIds()
	}
	slices.Sort(c.groups)
	c.groups = slices.Compact(c.groups)
	peer, err := name(c)
	return &peer, errors.Join(err, groupErr)
}
