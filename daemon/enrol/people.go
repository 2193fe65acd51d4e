package enrol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/profitd/profitd/profit"
)

// lookLocked finds an entry that is in the configuration.
func (e *Enroller) lookLocked(key string) (*entry, error) {
	x := e.entries[key]
	if x == nil || !x.rec.OrphanedAt.IsZero() {
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
	if err := e.mayAskLocked(x, now); err != nil {
		return err
	}
	err := e.commitLocked(x, func(r *record) {
		r.RequestedBy = by
		if r.State != Requesting && r.State != Idle {
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

// mayAskLocked tells whether a person may cause a mail now.
func (e *Enroller) mayAskLocked(x *entry, now time.Time) error {
	if until := e.patient[x.conf.BaseURL]; until.After(now) {
		return &Error{
			Kind: ProfitUnavailable, Message: "Profit has asked for patience until " + until.Format(time.RFC3339) + ".",
			RetryAfter: until.Sub(now), View: x.View(),
		}
	}
	if allowed := x.rec.askedAllowedAt(now); allowed.After(now) {
		return &Error{
			Kind: TooMany, Message: "Too many codes have been asked for: at most one in 10 seconds and ten in an hour.",
			RetryAfter: allowed.Sub(now), View: x.View(),
		}
	}
	return nil
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
	case x.trying:
		return &Error{Kind: NotAwaiting, Message: "A code is being tried right now.", View: x.View()}
	}
	switch x.rec.State {
	case AwaitingCode, Active, Storing:
		return nil
	}
	return &Error{Kind: NotAwaiting, Message: "No activation code is awaited now.", View: x.View()}
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
	done := e.syncLocked(x)
	e.mu.Unlock()
	<-done
	e.mu.Lock()
	return nil
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
			result.Kind, result.RetryAfter = WrongCode, 0
		default:
			r.on(untried, now)
			r.Message = failure.Error()
			if until := e.waitForLocked(x, r, failure, now); !until.IsZero() {
				result.RetryAfter = until.Sub(now)
			}
		}
	})
	result.View = x.View()
	return result
}

// Reject is an application's report that Profit refuses the token. It verifies that: two refusals at least five
// seconds apart make the token be replaced. It waits for the verdict while ctx lasts, and returns the entry.
func (e *Enroller) Reject(ctx context.Context, key, by string) (*View, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, err := e.lookLocked(key)
	if err != nil {
		return nil, err
	}
	if x.unread {
		return nil, e.keystoreErrorLocked(x, nil)
	}
	now := time.Now()
	judging := x.verifying != nil || !x.suspectAt.IsZero()
	switch {
	case x.View().Token.IsZero() || x.held.IsZero():
		return x.View(), nil // nothing is served that Profit could refuse
	case !judging && now.Sub(x.rejectedAt) < verifyPause:
		return nil, &Error{
			Kind: TooMany, Message: "The token was verified less than a minute ago.",
			RetryAfter: x.rejectedAt.Add(verifyPause).Sub(now), View: x.View(),
		}
	}
	x.rejectedAt, x.rejectedBy = now, by
	if x.verifying == nil && x.suspectAt.IsZero() {
		e.verifyLocked(x, now)
	}
	return e.verdictLocked(ctx, x)
}

// verdictLocked waits until it is known whether Profit takes the token.
func (e *Enroller) verdictLocked(ctx context.Context, x *entry) (*View, error) {
	for ctx.Err() == nil && e.life.Err() == nil && !e.closed && (x.verifying != nil || !x.suspectAt.IsZero()) {
		var verdict <-chan struct{} = x.verifying
		if wait := time.Until(x.verifyAt); x.verifying == nil {
			if wait > refusalsApart {
				break // Profit cannot be asked now
			}
			verdict = soon(wait)
		}
		e.mu.Unlock()
		await(ctx, verdict)
		e.mu.Lock()
	}
	return x.View(), nil
}

// soon returns a channel that is closed a little after wait, when what was due then has begun.
func soon(wait time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(wait+10*time.Millisecond, func() { close(done) })
	return done
}

// Receipt says what a reset did, or would do.
type Receipt struct {
	Before, After   *View
	HadToken        bool // this device held a token
	DeletedHere     bool
	DeletedInProfit bool
	RevokeErr       error // why Profit was not, or could not be, told to delete it
}

// Reset forgets the token and begins anew: with a new code, or without when enrol is false. With revoke it also
// tells Profit to delete the token. Nothing of before the reset is served or stored again, whatever is under way.
// A reset that finds nothing to forget and its mail under way sends no other. With dryRun it only says what it would
// do; After is then nil.
func (e *Enroller) Reset(ctx context.Context, key string, revoke, enrol, dryRun bool, by string) (Receipt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.entries[key]
	if x == nil {
		return Receipt{}, unknown(key)
	}
	orphan := !x.rec.OrphanedAt.IsZero()
	now := time.Now()
	token := x.held
	if x.rec.State == Storing {
		token = x.fresh
	}
	receipt := Receipt{Before: x.View(), HadToken: !token.IsZero() || x.rec.Holds != 0 && x.rec.Holds >= x.rec.Floor}
	untouched := !receipt.HadToken && x.rec.Floor == x.rec.Generation && x.rec.Floor != 0 // since the last reset
	repeated := untouched && (x.rec.State == Requesting || x.rec.State == AwaitingCode || x.rec.State == Idle && !enrol)
	if repeated || dryRun {
		receipt.After = x.View()
		return receipt, nil
	}
	mails := enrol && !orphan
	if mails {
		if err := e.mayAskLocked(x, now); err != nil {
			return Receipt{}, err
		}
	}
	err := e.commitLocked(x, func(r *record) { r.startAnew(mails, by, now) })
	if err != nil {
		return Receipt{}, err
	}
	x.fresh, x.suspectAt = profit.Token{}, time.Time{}
	if mails && x.request == nil {
		e.requestLocked(x, now)
	}
	done := e.syncLocked(x)
	e.mu.Unlock()
	await(ctx, done)
	if receipt.HadToken && revoke {
		receipt.DeletedInProfit, receipt.RevokeErr = e.revoke(ctx, x, token)
	}
	e.mu.Lock()
	receipt.DeletedHere = receipt.HadToken && x.rec.Holds == 0
	receipt.After = x.View()
	return receipt, nil
}

// startAnew raises the floor above everything that is, or is under way.
func (r *record) startAnew(enrol bool, by string, now time.Time) {
	ev := resetIdle
	if enrol {
		ev = reset
		r.countAsked(now)
	}
	r.RequestedBy = by
	before := r.Generation
	r.on(ev, now)
	r.Generation = before + 1
	r.Floor = r.Generation
	r.Refused, r.Attempts = false, 0
	r.Reason, r.Message, r.LogReference = ReasonReset, "", ""
	r.Fingerprint, r.ActivatedBy, r.IssuedAt, r.ExpiresAt = "", "", time.Time{}, time.Time{}
}

func (e *Enroller) revoke(ctx context.Context, x *entry, token profit.Token) (bool, error) {
	switch {
	case token.IsZero():
		return false, fmt.Errorf("the token could not be read, and Profit deletes only a token that it is shown")
	case x.conf.Client == nil:
		return false, fmt.Errorf("the connector is no longer in the configuration")
	}
	err := x.conf.Client.DeleteToken(ctx, token)
	return err == nil, err
}
