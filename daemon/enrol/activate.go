package enrol

import (
	"context"
	"errors"
	"time"

	"github.com/profitd/profitd/profit"
)

// Activate trades a code for a token. When it returns without an error the token is there, and in the state active
// it is in the keystore too. On an entry that has its token it changes nothing. A code that was sent to Profit is
// followed to its end whatever becomes of ctx.
func (e *Enroller) Activate(ctx context.Context, key string, code profit.Secret, by string) (*View, error) {
	e.mu.Lock()
	x, err := e.lookLocked(key)
	if err == nil {
		err = e.mayTryLocked(x)
	}
	if err != nil || x.rec.State == Active || x.rec.State == Storing {
		defer e.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return x.View(), nil
	}
	x.trying = true
	result := make(chan error, 1)
	if !e.startLocked(func() { result <- e.try(x, code, by) }) {
		x.trying = false
		defer e.mu.Unlock()
		return nil, &Error{Kind: NotAwaiting, Message: "The service is stopping.", View: x.View()}
	}
	e.planLocked(x)
	e.mu.Unlock()
	select {
	case err := <-result:
		return x.View(), err
	case <-ctx.Done():
		return x.View(), ctx.Err()
	}
}

func (e *Enroller) mayTryLocked(x *entry) error {
	switch {
	case x.unread:
		return e.keystoreErrorLocked(x, nil)
	case x.rec.State == Active, x.rec.State == Storing:
		return nil
	case x.trying:
		return &Error{Kind: NotAwaiting, Message: "A code is being tried right now.", View: x.View()}
	case x.rec.State != AwaitingCode:
		return &Error{Kind: NotAwaiting, Message: "No activation code is awaited now.", View: x.View()}
	}
	return nil
}

// try tries the code: only once the keystore has proved that it can take a token, and the record says so.
func (e *Enroller) try(x *entry, code profit.Secret, by string) error {
	probeErr := e.keystore.Probe(e.life)

	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		x.trying = false
		e.planLocked(x)
		e.poke()
	}()
	if probeErr != nil {
		return e.keystoreErrorLocked(x, probeErr)
	}
	if err := e.patienceLocked(x, time.Now()); err != nil {
		return err
	}
	var happened bool
	err := e.commitLocked(x, func(r *record) { happened = r.on(codeTried, time.Now()) })
	if err != nil {
		return err
	}
	if !happened {
		return &Error{Kind: NotAwaiting, Message: "No activation code is awaited any more.", View: x.View()}
	}
	client, user, generation := x.conf.Client, x.rec.User, x.rec.Generation
	e.mu.Unlock()
	token, callErr := client.ValidateOTP(e.life, user, code)
	e.mu.Lock()

	now := time.Now()
	e.heedLocked(x, callErr, now)
	switch {
	case e.life.Err() != nil && callErr != nil:
		return &Error{Kind: NotAwaiting, Message: "The service stopped while the code was being tried.", View: x.View()}
	case x.rec.Generation != generation || x.rec.State != Validating:
		message := "The entry was reset while the code was being tried."
		if callErr == nil {
			message += " " + nobodyHolds
		}
		return &Error{Kind: NotAwaiting, Message: message, View: x.View()}
	case callErr != nil:
		return e.untakenLocked(x, callErr, now)
	}
	x.fresh, x.freshOf = token, generation
	e.settleLocked(x, func(r *record) {
		r.on(issued, now)
		r.Fingerprint, r.IssuedAt, r.ExpiresAt, r.ActivatedBy = token.Fingerprint(), now, time.Time{}, by
		r.Reason, r.Message, r.LogReference = "", "The token has come and is being stored.", ""
	})
	e.storeNowLocked(x)
	return nil
}

// storeNowLocked waits until the keystore has taken the token, or has refused to for now. It does so also when the
// Enroller is closing: Close waits for it.
func (e *Enroller) storeNowLocked(x *entry) {
	for x.sync != nil {
		under := x.sync
		e.mu.Unlock()
		<-under
		e.mu.Lock()
	}
	if x.rec.State != Storing {
		return
	}
	x.sync = make(chan struct{})
	e.mu.Unlock()
	defer e.mu.Lock()
	e.syncKeystore(x)
}

// untakenLocked is a code that brought no token.
func (e *Enroller) untakenLocked(x *entry, err error, now time.Time) error {
	var failure *profit.Error
	if !errors.As(err, &failure) {
		failure = &profit.Error{Op: "trade the code for a token", Kind: profit.Unreachable, Err: err}
	}
	result := &Error{Kind: ProfitUnavailable, Message: failure.Error(), RetryAfter: firstBackOff}
	e.settleLocked(x, func(r *record) {
		r.LogReference = failure.LogReference
		switch {
		case failure.Reached == profit.Maybe || failure.Kind == profit.Garbled:
			r.RequestedBy = ""
			r.on(spent, now)
			e.automaticLocked(x, r, now)
			r.Reason, r.Message = ReasonNew, "No answer came to the code, so it counts as spent, and a new one is asked for. "+nobodyHolds
			result.Message += ". The code counts as spent; a new one is asked for."
		case failure.Kind == profit.Missing, failure.Kind == profit.Unauthorized, failure.Kind == profit.Refused:
			r.on(wrong, now)
			r.Attempts++
			r.Message = "Profit did not accept the code."
			if failure.Message != "" {
				r.Message += " It says: " + failure.Message
			}
			result.Kind, result.Message, result.RetryAfter = WrongCode, r.Message, 0
			if failure.LogReference != "" {
				result.Message += " (AFAS support asks for log reference " + failure.LogReference + ")"
			}
		default:
			r.on(untried, now)
			r.Message = failure.Error()
			result.RetryAfter = max(result.RetryAfter, e.patient[x.rec.BaseURL].Sub(now))
		}
	})
	result.View = x.View()
	return result
}
