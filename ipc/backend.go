package ipc

import "context"

// Role is what a caller may do. Roles add up.
type Role uint8

// The roles. Anyone who can connect and be identified has Local.
const (
	Local    Role = 1 << iota
	Owner         // named by the entry, or a member of a group it names
	Helpdesk      // sees states, asks for codes and resets; gets no token and enters no code
)

// Backend is what the server serves. Every call gets the caller as a parameter; errors that are an *Error
// travel to the client as they are, all others become "internal" and are logged.
//
// The server has looked up the caller's rights before a call and does so again before it answers; the context of a
// call ends only when the service does, also if the caller hangs up. In waits (Token with a Wait, Watch) it ends with
// the caller too.
type Backend interface {
	// Roles says what the caller may do with the entry. With the zero Ref: with the service as a whole, where
	// Owner means that it owns at least one entry or matches a template. With an empty User: Owner means that
	// it owns at least one entry of that connector. It is asked for each request and each event, so it answers from
	// memory.
	Roles(peer *Peer, ref Ref) Role

	Status(ctx context.Context, peer *Peer) (Status, error)
	Entries(ctx context.Context, peer *Peer) ([]Entry, error)
	// Token answers at once, or after query.Wait, or when ctx ends: then, as when the wait is over, with an error that
	// says how the entry stands. A token that has been through Token.Encode is answered without encoding it again.
	Token(ctx context.Context, peer *Peer, ref Ref, query TokenQuery) (*Token, error)
	Code(ctx context.Context, peer *Peer, ref Ref) (Entry, error)
	Activate(ctx context.Context, peer *Peer, ref Ref, code ActivationCode) (Entry, error)
	Reject(ctx context.Context, peer *Peer, ref Ref) (Entry, error)
	Reset(ctx context.Context, peer *Peer, ref Ref, request ResetRequest) (Receipt, error)
	// Explain answers for the account; an empty one is the caller itself. Any account may ask about itself, so what
	// one without a right is told must not show whether the entry exists.
	Explain(ctx context.Context, peer *Peer, ref Ref, account string) (Explanation, error)
	// Watch calls send with a snapshot and then with each change, one at a time, until ctx ends or send fails. While
	// a caller is slow to take an event, send waits.
	Watch(ctx context.Context, peer *Peer, send func(Event) error) error
}
