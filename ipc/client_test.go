package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What a call sends is what the backend gets, and the answer comes back whole; names with any character too.
func TestRoundTrip(t *testing.T) {
	backend := newBackend(Owner | Helpdesk)
	var got any
	for _, call := range []string{"token", "activate", "reset", "explain"} {
		backend.on[call] = func(_ context.Context, argument any) error { got = argument; return nil }
	}
	_, path := serve(t, backend, ServerOptions{Version: "1.2.3"})
	ctx, client := t.Context(), newClient(t, path)

	query := TokenQuery{Wait: 90 * time.Second, UntilActive: true, Method: "GET", URL: "https://12345.rest.afas.online/x?a=b&c"}
	token, err := client.Token(ctx, jan, query)
	if err != nil || !reflect.DeepEqual(token, *janToken()) || got != query {
		t.Errorf("%#v, %v, asked %+v", token, err, got)
	}
	code, err := ParseActivationCode("3426 4813")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := client.Activate(ctx, jan, code)
	if err != nil || !reflect.DeepEqual(entry, janEntry(Active)) || got != code {
		t.Errorf("%+v, %v", entry, err)
	}
	for _, request := range []ResetRequest{DefaultReset, {}, {Revoke: true, DryRun: true}} {
		receipt, err := client.Reset(ctx, jan, request)
		if err != nil || got != request || receipt.DeletedInProfit != request.Revoke || receipt.DryRun != request.DryRun {
			t.Errorf("%+v, %v, asked %+v", receipt, err, got)
		}
	}
	explanation, err := client.Explain(ctx, jan, `CORP\ria & co`)
	if err != nil || explanation.Account != `CORP\ria & co` {
		t.Errorf("%+v, %v", explanation, err)
	}
	status, err := client.Status(ctx)
	if err != nil || status.Version != "1.2.3" || status.API[0] != "v1" || status.Entries[Active] != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	for _, user := range []string{"jan@example.com", "a/b", "..", ".", "%2F", "a b?c#d;e&f=g+h", `CORP\jan`, "Zoë", "a%00b"} {
		ref := Ref{"pay/roll", user}
		var asked Ref
		backend.mu.Lock()
		backend.who = func(_ *Peer, ref Ref) Role {
			if ref != (Ref{}) {
				asked = ref
			}
			return Owner
		}
		backend.mu.Unlock()
		if _, err := client.Code(ctx, ref); err != nil || asked != ref {
			t.Errorf("%q: %v, asked about %q", user, err, asked)
		}
	}
}

// A newer service may know more fields, states and events; that must not stop an older client.
func TestClientOfNewerService(t *testing.T) {
	listener := listenOn(t, socketPath(t))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/events":
			io.WriteString(w, ": hello\n\nevent: snapshot\ndata: {\"entries\": []}\n\nevent: moon\ndata: {\"phase\": 1}\n\n"+
				"event: entry\nid: 7\ndata: {\"user\": \"jan\", \"state\": \"dancing\", \"new\": 1}\n\nevent: removed\ndata: {\"id\": \"3f1c\"}\n\n")
		case strings.HasSuffix(r.URL.Path, "/code"):
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, `{"code": "teapot", "title": "new", "status": 418, "detail": "I am one.", "colour": "red"}`)
		default:
			io.WriteString(w, `{"entries": [{"user": "jan", "state": "dancing", "new": {"a": 1}}], "more": true}`)
		}
	})}
	go server.Serve(listener)
	defer server.Close()
	client := newClient(t, listener.Addr().String())
	entries, err := client.Entries(t.Context())
	if err != nil || len(entries) != 1 || entries[0].State != "dancing" {
		t.Errorf("%+v, %v", entries, err)
	}
	_, err = client.Code(t.Context(), jan)
	if problem := wantCode(t, err, "teapot"); problem.Error() != "I am one." {
		t.Error(problem)
	}
	var got []string
	for event, err := range client.Watch(t.Context()) {
		var ended *UnreachableError
		switch {
		case errors.As(err, &ended):
			got = append(got, "end")
		case event.Entry != nil:
			got = append(got, string(event.Entry.State))
		case event.Removed != "":
			got = append(got, event.Removed)
		case event.Snapshot != nil:
			got = append(got, "snapshot")
		}
	}
	if fmt.Sprint(got) != "[snapshot dancing 3f1c end]" {
		t.Errorf("events: %q", got)
	}
}

// The context's error remains the context's.
func TestClientContext(t *testing.T) {
	backend := newBackend(Owner)
	backend.on["token"] = func(ctx context.Context, _ any) error { <-ctx.Done(); return ctx.Err() }
	_, path := serve(t, backend, ServerOptions{})
	client := newClient(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Token(ctx, jan, TokenQuery{Wait: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	for event, err := range client.Watch(ctx) {
		if event.Snapshot == nil && !errors.Is(err, context.Canceled) {
			t.Error(event, err)
		}
		cancel()
	}
}
