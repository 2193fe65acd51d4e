package ipc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// The wire: a snapshot first, each event one line of data, and signs of life between.
func TestEventStream(t *testing.T) {
	backend := newBackend(Helpdesk)
	backend.on["watch"] = func(_ context.Context, send any) error {
		entry := janEntry(Blocked)
		entry.Message = "two\nlines\u2028and more"
		send.(func(Event) error)(Event{Entry: &entry})
		return send.(func(Event) error)(Event{Removed: "3f1c"})
	}
	_, path := serve(t, backend, ServerOptions{Limits: Limits{Heartbeat: 20 * time.Millisecond}})
	conn := connect(t, path)
	io.WriteString(conn, "GET /v1/events HTTP/1.0\r\n\r\n")
	lines := bufio.NewScanner(conn)
	var got []string
	for lines.Scan() {
		name, data, _ := strings.Cut(lines.Text(), ": ")
		if name == "data" {
			data, _, _ = strings.Cut(data, ":")
		}
		got = append(got, fmt.Sprintf("%s %s", name, data))
		if strings.HasPrefix(lines.Text(), ": heartbeat") {
			break
		}
	}
	all := strings.Join(got, "\n")
	_, events, _ := strings.Cut(all, "\n \n")
	if events != "event snapshot\ndata {\"entries\"\n \nevent entry\ndata {\"id\"\n \nevent removed\ndata {\"id\"\n \n heartbeat" ||
		!strings.Contains(all, "Content-Type text/event-stream\n") || !strings.Contains(all, "Cache-Control no-store\n") {
		t.Errorf("the stream:\n%s", all)
	}
}

// An account that loses its rights while it listens hears no more: of an entry, or of anything.
func TestRightLostWhileListening(t *testing.T) {
	backend := newBackend(Owner)
	sent := make(chan error, 2)
	backend.on["watch"] = func(ctx context.Context, send any) error {
		entry, other := janEntry(Blocked), janEntry(Blocked)
		other.User = "12345.ria"
		for _, entry := range []*Entry{&other, &entry} {
			sent <- send.(func(Event) error)(Event{Entry: entry})
		}
		backend.grant(0)
		return send.(func(Event) error)(Event{Entry: &entry})
	}
	_, path := serve(t, backend, ServerOptions{})
	var users []string
	for event, err := range newClient(t, path).Watch(t.Context()) {
		if err == nil && event.Entry != nil {
			users = append(users, event.Entry.User)
		}
	}
	if fmt.Sprint(users) != "[12345.jan]" {
		t.Errorf("heard of %q", users)
	}
	if err := <-sent; err != nil {
		t.Errorf("an event for others ended the stream: %v", err)
	}
}

// So does one that loses them while nothing happens, with the next sign of life.
func TestRightLostInSilence(t *testing.T) {
	backend := newBackend(Owner)
	_, path := serve(t, backend, ServerOptions{Limits: Limits{Heartbeat: 10 * time.Millisecond}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range newClient(t, path).Watch(ctx) {
		backend.grant(0)
	}
	if ctx.Err() != nil {
		t.Error("the stream goes on")
	}
}

// A caller that stops ranging is gone for the service too.
func TestWatchStops(t *testing.T) {
	backend := newBackend(Owner)
	ended := make(chan struct{})
	backend.on["watch"] = func(ctx context.Context, _ any) error {
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	_, path := serve(t, backend, ServerOptions{})
	for event, err := range newClient(t, path).Watch(t.Context()) {
		if err != nil || len(event.Snapshot) != 1 {
			t.Errorf("%+v, %v", event, err)
		}
		break
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the service goes on watching")
	}
}
