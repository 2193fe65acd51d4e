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
// travel to the client as they are, all others become "internal".
type Backend interface {
	// Roles says what the caller may do with the entry. With the zero Ref: with the service as a whole, where
	// Owner means that it owns at least one entry or matches a template. With an empty User: Owner means that
	// it owns at least one entry of that connector.
	Roles(peer *Peer, ref Ref) Role

	Status(ctx context.Context, peer *Peer) (Status, error)
	Entries(ctx context.Context, peer *Peer) ([]Entry, error)
	Token(ctx context.Context, peer *Peer, ref Ref, query TokenQuery) (*Token, error)
	Code(ctx context.Context, peer *Peer, ref Ref) (Entry, error)
	Activate(ctx context.Context, peer *Peer, ref Ref, code ActivationCode) (Entry, error)
	Reject(ctx context.Context, peer *Peer, ref Ref) (Entry, error)
	Reset(ctx context.Context, peer *Peer, ref Ref, request ResetRequest) (Receipt, error)
	// Explain answers for the account; an empty one is the caller itself.
	Explain(ctx context.Context, peer *Peer, ref Ref, account string) (Explanation, error)
	// Watch calls send with a snapshot and then with each change, one at a time, until ctx ends or send fails.
	Watch(ctx context.Context, peer *Peer, send func(Event) error) error
}
