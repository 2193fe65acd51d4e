package ipc

import (
	"fmt"
	"os/user"
	"strings"
)

// lookupPeer asks Windows, which may ask a domain controller.
func lookupPeer(account string) (*Peer, error) {
	found, err := user.Lookup(account)
	if err != nil {
		found, err = user.LookupId(account)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the account %q: %w", account, err)
	}
	peer := &Peer{Account: found.Username, Accounts: []string{found.Username, found.Uid}}
	if _, name, qualified := strings.Cut(found.Username, `\`); qualified {
		peer.Accounts = append(peer.Accounts, name)
	}
	groups, err := found.GroupIds()
	for _, sid := range groups {
		peer.Groups = append(peer.Groups, sid)
		if group, err := user.LookupGroupId(sid); err == nil {
			peer.Groups = append(peer.Groups, group.Name)
		}
	}
	return peer, err
}
