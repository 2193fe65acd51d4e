package ipc

// Peer is who is calling, as the kernel says. It is a parameter wherever it matters, never a value out of a context.
type Peer struct {
	Account  string   // the caller in one word, for records and logs: "jan", or "uid:1000" where no name is known
	Accounts []string // every form that a configuration line could name: "jan", "uid:1000", `CORP\jan`, a SID
	Groups   []string // likewise: "helpdesk", "gid:1002"
	Admin    bool     // root; an elevated administrator or SYSTEM on Windows
	PID      int

	Anonymous bool // the system cannot say who this is: no rights
}
