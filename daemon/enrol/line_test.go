package enrol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/profit"
)

var errNoPower = errors.New("the power is off")

// RoundTrip is the line to Profit as one life of the service has it. What passes over it is remembered and held
// against the properties.
func (l *life) RoundTrip(r *http.Request) (*http.Response, error) {
	if !l.moment() {
		return nil, errNoPower
	}
	call := path.Base(r.URL.Path)
	var fields struct{ APIKey, UserID string }
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		_ = json.Unmarshal(body, &fields)
	}
	key := keyOf(fields.APIKey, fields.UserID)
	l.leaves(call, key)
	response, err := l.device.profit.Transport().RoundTrip(r)
	l.comes(call, key, response)
	if !l.moment() {
		return nil, errNoPower
	}
	if err == nil && call == "OtpValidation" && response.StatusCode == http.StatusOK {
		l.tokenComes(key, response)
	}
	return response, err
}

// leaves is a request that is about to reach Profit.
func (l *life) leaves(call, key string) {
	d := l.device
	onDisk, now := l.onDisk()[key], time.Now()
	l.enrol.mu.Lock()
	x := l.enrol.entries[key]
	var unread bool
	if x != nil {
		unread = x.unread
	}
	l.enrol.mu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.memory.patience) && now.After(d.memory.toldAt) { // what is told at this instant counts from the next
		d.breaksLocked(waitsAreKept, "%s at %v, before %v", call, now, d.memory.patience)
	}
	switch call {
	case "OtpRequest":
		l.under[key]++
		switch {
		case onDisk == nil || onDisk.State != Requesting || !onDisk.Sending:
			d.breaksLocked(intentIsDurable, "a request for a code of %s while its record on disk is %+v", key, onDisk)
			return
		case l.under[key] > 1:
			d.breaksLocked(oneAtATime, "two requests for a code of %s under way", key)
		case d.memory.quiet[key]:
			d.breaksLocked(restartIsQuiet, "a request for a code of %s at the start", key)
		case unread && onDisk.Reason != ReasonReset:
			d.breaksLocked(unreadableIsNotLost, "a request for a code of %s, whose token could not be read", key)
		}
		d.memory.request(key, onDisk.RequestedBy == "", now)
	case "OtpValidation":
		if onDisk == nil || onDisk.State != Validating {
			d.breaksLocked(intentIsDurable, "a code of %s is tried while its record on disk is %+v", key, onDisk)
			return
		}
		d.memory.tried[key] = onDisk.Generation
	}
}

// comes is Profit's answer, or that none comes.
func (l *life) comes(call, key string, response *http.Response) {
	d := l.device
	mails := 0
	if call == "OtpRequest" {
		mails = d.mails(key)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if call == "OtpRequest" {
		l.under[key]--
		d.answeredLocked(key, mails)
	}
	if response != nil && response.StatusCode == http.StatusServiceUnavailable && !l.over {
		body, _ := io.ReadAll(response.Body)
		response.Body = io.NopCloser(bytes.NewReader(body))
		var told struct {
			Wait int `json:"retry_after"`
		}
		if json.Unmarshal(body, &told) == nil {
			wait := min(time.Duration(told.Wait)*time.Second, 24*time.Hour)
			d.memory.patience, d.memory.toldAt = later(d.memory.patience, time.Now().Add(wait)), time.Now()
		}
	}
}

// tokenComes remembers a token that reaches the service.
func (l *life) tokenComes(key string, response *http.Response) {
	body, _ := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	var answer struct{ Token string }
	_ = json.Unmarshal(body, &answer)
	token, err := profit.ParseToken(answer.Token)
	if err != nil {
		return // a fault in place of a token
	}
	d := l.device
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memory.tokens[token] = arrival{key, d.memory.tried[key]}
	d.memory.came[key] = token
}

// putting is a token on its way to the keystore.
func (l *life) putting(item keystore.Item) {
	if l.mayChange(item.Key) {
		return
	}
	l.device.breaks(unreadableIsNotLost, "the item of %s is overwritten, and it was never read", item.Key)
}

func (l *life) mayChange(key string) bool {
	l.enrol.mu.Lock()
	defer l.enrol.mu.Unlock()
	x := l.enrol.entries[key]
	return x == nil || !x.unread
}

// deleting is an item about to be deleted: only a reset may want that, or a retention that is over.
func (l *life) deleting(key string) {
	d := l.device
	item, there := d.safe.holds(key)
	r := l.rec(key)
	l.enrol.mu.Lock()
	x := l.enrol.entries[key]
	wiped := x != nil && x.wipe
	l.enrol.mu.Unlock()
	retention := d.policy.Retention
	if retention == 0 {
		retention = defaultRetention
	}
	expired := !r.OrphanedAt.IsZero() && time.Since(r.OrphanedAt) >= retention
	if expired {
		d.mu.Lock()
		delete(d.memory.came, key) // it may be gone from now on
		d.mu.Unlock()
		return
	}
	if there && item.Generation >= r.Floor && !wiped {
		d.breaks(unreadableIsNotLost, "the item of %s is deleted, of generation %d, while the record is %+v", key, item.Generation, r)
	}
}
