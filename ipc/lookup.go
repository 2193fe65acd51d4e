package ipc

// LookupPeer returns the peer that a program of this account would be, without a process: for telling beforehand what
// an account may do. The account is a name, or "uid:1000", or on Windows a SID. It asks the system for names and
// groups, which may take seconds where a directory service is asked. Whether it would be elevated is not known.
func LookupPeer(account string) (*Peer, error) { return lookupPeer(account) }
