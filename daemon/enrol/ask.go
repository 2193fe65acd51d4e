package enrol

import (
	"context"
	"time"
)

// configured tells whether the entry is in the configuration. Before the first one none is, and none is an orphan.
func (x *entry) configured() bool { return x.conf.Client != nil && x.rec.OrphanedAt.IsZero() }

// lookLocked finds an entry that is in the configuration.
func (e *Enroller) lookLocked(key string) (*entry, error) {
	x := e.entries[key]
	if x == nil || !x.configured() {
		return nil, unknown(key)
	}
	return x, nil
}

func (e *Enroller) keystoreErrorLocked(x *entry, err error) *Error {
	message := "The keystore is not available now."
	if err != nil {
		message = "The keystore is not available now: " + err.Error()
	}
	return &Error{Kind: KeystoreUnavailable, Message: message, RetryAfter: keystoreRetry, View: x.View()}
}

// Ask is an owner asking for a token that is not there. The first time it makes Profit send a code; it ends the
// random wait of a fleet; it repeats no mail and shortens no back-off.
func (e *Enroller) Ask(key, by string) (*View, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, err := e.lookLocked(key)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	switch {
	case !x.View().Token.IsZero():
		return x.View(), nil
	case x.unread:
		return nil, e.keystoreErrorLocked(x, nil)
	case x.rec.State == Idle:
		if err := e.askForMailLocked(x, asked, by, now); err != nil {
			return nil, err
		}
	case x.rec.State == Requesting && x.rec.Spreading:
		err := e.commitLocked(x, func(r *record) { r.NextAttemptAt, r.Spreading = now, false })
		if err != nil {
			return nil, err
		}
		e.poke()
	}
	return x.View(), nil
}

// askForMailLocked applies an event by which a person causes a mail, within the limits, and sends the request.
func (e *Enroller) askForMailLocked(x *entry, ev event, by string, now time.Time) error {
	if err := e.patienceLocked(x, now); err != nil {
		return err
	}
	if err := x.mayAsk(now); err != nil {
		return err
	}
	err := e.commitLocked(x, func(r *record) {
		r.RequestedBy = by
		if r.State == AwaitingCode || r.State == Active {
			r.Reason = ReasonNew
		}
		r.on(ev, now)
		r.NextAttemptAt, r.Spreading = now, false
		r.countAsked(now)
	})
	if err == nil && x.request == nil {
		e.requestLocked(x, now)
	}
	return err
}

// mayAsk tells whether a person may cause a mail now.
func (x *entry) mayAsk(now time.Time) error {
	allowed := x.rec.askedAllowedAt(now)
	if !allowed.After(now) {
		return nil
	}
	return &Error{
		Kind: TooMany, Message: "Too many codes have been asked for: at most one in 10 seconds and ten in an hour.",
		RetryAfter: allowed.Sub(now), View: x.View(),
	}
}

// Code makes Profit send a (new) code, waits for Profit's answer while ctx lasts, and returns the entry. On an
// active entry it begins a renewal.
func (e *Enroller) Code(ctx context.Context, key, by string) (*View, error) {
	e.mu.Lock()
	x, err := e.lookLocked(key)
	if err == nil {
		err = e.codeLocked(x, by)
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	request := x.request
	e.mu.Unlock()
	await(ctx, request)
	return x.View(), nil
}

func (e *Enroller) codeLocked(x *entry, by string) error {
	switch {
	case x.unread:
		return e.keystoreErrorLocked(x, nil)
	case x.trying:
		return &Error{Kind: NotAwaiting, Message: "A code is being tried right now.", View: x.View()}
	case x.rec.State == Storing, x.rec.Sending:
		return nil // a token is there; the mail is on its way
	}
	return e.askForMailLocked(x, codeAsked, by, time.Now())
}

// await waits for a call to end, or for ctx.
func await(ctx context.Context, done <-chan struct{}) {
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
