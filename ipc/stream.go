package ipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"
)

// What events are called on the wire, and what their data is.
const (
	snapshotEvent = "snapshot" // an EntryList
	entryEvent    = "entry"    // an Entry
	removedEvent  = "removed"  // a removedData
)

type removedData struct {
	ID string `json:"id"`
}

var errNoLongerAllowed = errors.New("the caller has lost its right")

// stream is the answer to GET /v1/events: server-sent events. A caller that is slow to take them is dropped, by the
// deadline of each write (see Limits); it connects again and gets a snapshot.
type stream struct {
	*call
	control *http.ResponseController
	cancel  context.CancelFunc

	mu sync.Mutex // guards call.answered and writing
}

// serve sends events until ctx ends.
func (s *stream) serve(ctx context.Context) error {
	var heartbeat sync.WaitGroup
	defer heartbeat.Wait()
	defer s.cancel()
	heartbeat.Go(func() { s.heartbeat(ctx) })
	return s.server.backend.Watch(ctx, s.peer, s.send)
}

// heartbeat shows a quiet stream to be alive, and ends one whose reader is not, or has lost its rights.
func (s *stream) heartbeat(ctx context.Context) {
	tick := time.NewTicker(s.server.limits.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !s.allowed(Ref{}) || s.write([]byte(": heartbeat\n\n")) != nil {
				s.cancel()
			}
		}
	}
}

// send writes an event, if at this moment the caller may see it.
func (s *stream) send(event Event) error {
	if !s.allowed(Ref{}) {
		return errNoLongerAllowed
	}
	name, data := snapshotEvent, any(EntryList{Entries: present(event.Snapshot)})
	switch {
	case event.Entry != nil:
		if !s.allowed(Ref{event.Entry.Connector, event.Entry.User}) {
			return nil
		}
		name, data = entryEvent, event.Entry
	case event.Removed != "":
		name, data = removedEvent, removedData{event.Removed}
	}
	text, err := encode(data) // which ends in a newline and has no other
	if err != nil {
		return err
	}
	return s.write(fmt.Appendf(nil, "event: %s\ndata: %s\n", name, text))
}

func (s *stream) write(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.answered {
		s.answered = true
		s.w.Header()["Content-Type"] = streamType
		s.w.Header()["Cache-Control"] = noStore
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// readEvents yields the events of a stream, and at last the error that ended it. Events of a kind that it does not
// know are left out.
func readEvents(body io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, maxAnswer) // a snapshot is one line
		var name string
		for lines.Scan() {
			field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
			if string(field) == "event" {
				name = string(value)
			}
			if string(field) != "data" {
				continue
			}
			event, known, err := decodeEvent(name, value)
			if known && (!yield(event, err) || err != nil) {
				return
			}
		}
		err := lines.Err()
		if err == nil {
			err = io.EOF
		}
		yield(Event{}, err)
	}
}

func decodeEvent(name string, data []byte) (event Event, known bool, err error) {
	switch name {
	case snapshotEvent:
		list := EntryList{}
		err = json.Unmarshal(data, &list)
		event.Snapshot = list.Entries
	case entryEvent:
		event.Entry = new(Entry)
		err = json.Unmarshal(data, event.Entry)
	case removedEvent:
		var removed removedData
		err = json.Unmarshal(data, &removed)
		event.Removed = removed.ID
	default:
		return event, false, nil
	}
	return event, true, err
}
