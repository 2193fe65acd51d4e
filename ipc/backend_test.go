package ipc

import (
	"context"
	"sync"
	"testing"
	"time"
)

// The one entry of fakeBackend, as people and programs see it.
var (
	jan      = Ref{Connector: "payroll", User: "12345.jan"}
	issuedAt = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

func janEntry(state State) Entry {
	return Entry{
		ID: "3f1c", Connector: jan.Connector, Description: "Payroll desktop", Environment: "12345", Type: "production",
		User: jan.User, Device: "LAPTOP-0123", State: state, Reason: "new", Message: "Profit has mailed a code.",
		ProfitLogReference: "B8213AF1C3C54E579686406A8DE71C6C", Since: issuedAt, RequestedAt: &issuedAt,
		RequestedBy: "jan", ActivatedBy: "jan", Attempts: 1, NextAttemptAt: &issuedAt, Mail: "sent",
		Fingerprint: "0a1b2c3d", IssuedAt: &issuedAt, ExpiresAt: &issuedAt,
		Accounts: []string{"jan"}, Groups: []string{"staff"},
	}
}

func janToken() *Token {
	return &Token{
		Connector: jan.Connector, User: jan.User, Device: "LAPTOP-0123", Description: "Payroll desktop",
		BaseURL: "https://12345.rest.afas.online/ProfitRestServices",
		Headers: map[string]string{
			"Authorization": "AfasToken PHRva2VuPjx2ZXJzaW9uPjE8L3ZlcnNpb24+PGRhdGE+OTc5RDwvZGF0YT48L3Rva2VuPg==",
			"IntegrationId": "12345_123456",
		},
		Token:    "<token><version>1</version><data>979D" + "979D979D979D979D979D979D979D979D979D979D979D979D979D979D979D" + "</data></token>",
		IssuedAt: &issuedAt,
	}
}

// fakeBackend has one active entry, jan. A call is answered by on[call] where there is one.
type fakeBackend struct {
	mu    sync.Mutex // guards the rest
	roles map[Ref]Role
	who   func(*Peer, Ref) Role
	on    map[string]func(ctx context.Context, argument any) error
	calls []string
}

// newBackend returns one that gives every caller this role, for jan and in general.
func newBackend(role Role) *fakeBackend {
	b := &fakeBackend{on: make(map[string]func(context.Context, any) error)}
	b.grant(role)
	return b
}

// grant changes everybody's rights from now on.
func (b *fakeBackend) grant(role Role) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roles = map[Ref]Role{{}: role, {Connector: jan.Connector}: role, jan: role}
}

func (b *fakeBackend) Roles(peer *Peer, ref Ref) Role {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.who != nil {
		return b.who(peer, ref)
	}
	return b.roles[ref] | b.roles[Ref{}]&Helpdesk
}

func (b *fakeBackend) call(ctx context.Context, name string, argument any) error {
	b.mu.Lock()
	b.calls = append(b.calls, name)
	on := b.on[name]
	b.mu.Unlock()
	if on == nil {
		return nil
	}
	return on(ctx, argument)
}

func (b *fakeBackend) called(name string) (count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, call := range b.calls {
		if call == name {
			count++
		}
	}
	return count
}

func (b *fakeBackend) Status(ctx context.Context, _ *Peer) (Status, error) {
	return Status{
		Version: "1.0.0", StartedAt: issuedAt, UptimeSeconds: 60, Entries: map[State]int{Active: 1},
		Configuration: Configuration{
			Files: []string{"/etc/profitd/config.toml"}, LoadedAt: &issuedAt, SHA256: "00ff", Refused: true,
			Why: "config.toml:3:1: unknown key", Warnings: []string{"nobody may use it"},
		},
		Keystore: Keystore{Backend: "sealed", Key: "in a key file", Healthy: true, Detail: "all is well"},
	}, b.call(ctx, "status", nil)
}

func (b *fakeBackend) Entries(ctx context.Context, _ *Peer) ([]Entry, error) {
	return []Entry{janEntry(Active)}, b.call(ctx, "entries", nil)
}

func (b *fakeBackend) Token(ctx context.Context, _ *Peer, _ Ref, query TokenQuery) (*Token, error) {
	if err := b.call(ctx, "token", query); err != nil {
		return nil, err
	}
	return janToken(), nil
}

func (b *fakeBackend) Code(ctx context.Context, _ *Peer, _ Ref) (Entry, error) {
	return janEntry(AwaitingCode), b.call(ctx, "code", nil)
}

func (b *fakeBackend) Activate(ctx context.Context, _ *Peer, _ Ref, code ActivationCode) (Entry, error) {
	return janEntry(Active), b.call(ctx, "activate", code)
}

func (b *fakeBackend) Reject(ctx context.Context, _ *Peer, _ Ref) (Entry, error) {
	return janEntry(Requesting), b.call(ctx, "reject", nil)
}

func (b *fakeBackend) Reset(ctx context.Context, _ *Peer, _ Ref, request ResetRequest) (Receipt, error) {
	return Receipt{
		DryRun: request.DryRun, Before: janEntry(Active), After: janEntry(Idle), DeletedHere: true,
		DeletedInProfit: request.Revoke, LeftInProfit: "the token of LAPTOP-0123: delete it under User tokens",
	}, b.call(ctx, "reset", request)
}

func (b *fakeBackend) Explain(ctx context.Context, peer *Peer, _ Ref, account string) (Explanation, error) {
	if account == "" {
		account = peer.Account
	}
	return Explanation{Account: account, Allowed: true, By: "config.toml:7", Detail: "named", Change: "nothing"},
		b.call(ctx, "explain", account)
}

// Watch sends a snapshot and what on["watch"] sends with its argument, func(Event) error.
func (b *fakeBackend) Watch(ctx context.Context, _ *Peer, send func(Event) error) error {
	if err := send(Event{Snapshot: []Entry{janEntry(Active)}}); err != nil {
		return err
	}
	if err := b.call(ctx, "watch", send); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serve serves the backend on a socket of its own until the test ends.
func serve(t testing.TB, backend Backend, options ServerOptions) (*Server, string) {
	t.Helper()
	path := socketPath(t)
	listener := listenOn(t, path)
	server := NewServer(backend, options)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return server, path
}

func newClient(t testing.TB, path string) *Client {
	client := NewClient(ClientOptions{Socket: path})
	t.Cleanup(client.Close)
	return client
}

// memoryBackend answers as the daemon does: from memory, with a token that is encoded.
type memoryBackend struct {
	*fakeBackend
	token *Token
}

func (m memoryBackend) Roles(*Peer, Ref) Role { return Owner }

func (m memoryBackend) Token(context.Context, *Peer, Ref, TokenQuery) (*Token, error) {
	return m.token, nil
}
