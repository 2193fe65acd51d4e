package enrol

import (
	"context"
	"errors"
	"time"

	"github.com/profitd/profitd/profit"
)

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
// do; After is then nil, unless nothing would change. It waits for the keystore and Profit while ctx lasts; what it began goes on without.
func (e *Enroller) Reset(ctx context.Context, key string, revoke, enrol, dryRun bool, by string) (Receipt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.entries[key]
	if x == nil {
		return Receipt{}, unknown(key)
	}
	now := time.Now()
	token := x.held
	if x.rec.State == Storing {
		token = x.fresh
	}
	receipt := Receipt{Before: x.View(), HadToken: !token.IsZero() || x.rec.Holds != 0 && x.rec.Holds >= x.rec.Floor}
	mails := enrol && x.configured()
	if dryRun {
		if x.rec.alreadyReset(receipt.HadToken, mails) {
			receipt.After = receipt.Before
		}
		return receipt, nil
	}
	if !x.rec.alreadyReset(receipt.HadToken, mails) {
		if err := e.beginAnewLocked(x, mails, by, now); err != nil {
			return Receipt{}, err
		}
	} else if x.unread {
		x.wipe = true // the keystore could not delete it then; perhaps it can now
	}
	deleted := e.syncLocked(x)
	var revoked <-chan error
	if receipt.HadToken && revoke {
		revoked = e.revokeLocked(x, token)
	}
	e.mu.Unlock()
	await(ctx, deleted)
	if revoked != nil {
		select {
		case receipt.RevokeErr = <-revoked:
		case <-ctx.Done():
			receipt.RevokeErr = ctx.Err()
		}
		receipt.DeletedInProfit = receipt.RevokeErr == nil
	}
	e.mu.Lock()
	receipt.DeletedHere = receipt.HadToken && !x.wipes()
	receipt.After = x.View()
	return receipt, nil
}

// alreadyReset tells whether nothing has come of the entry since it was last reset in the same way.
func (r *record) alreadyReset(hasToken, mails bool) bool {
	if hasToken || r.Floor == 0 || r.Floor != r.Generation || !r.IssuedAt.IsZero() {
		return false
	}
	switch r.State {
	case Requesting, AwaitingCode:
		return mails
	case Idle:
		return !mails
	}
	return false
}

// beginAnewLocked resets the entry.
func (e *Enroller) beginAnewLocked(x *entry, mails bool, by string, now time.Time) error {
	if mails {
		if err := x.mayAsk(now); err != nil {
			return err
		}
	}
	err := e.commitLocked(x, func(r *record) { r.startAnew(mails, by, now) })
	if err != nil {
		return err
	}
	x.fresh, x.suspectAt = profit.Token{}, time.Time{}
	x.wipe, x.syncAt = true, time.Time{}
	x.judged()
	if mails && x.request == nil {
		e.requestLocked(x, now)
	}
	return nil
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

// revokeLocked has Profit delete the token, whether or not anybody waits for it.
func (e *Enroller) revokeLocked(x *entry, token profit.Token) <-chan error {
	result := make(chan error, 1)
	client, now := x.conf.Client, time.Now()
	switch err := e.patienceLocked(x, now); {
	case token.IsZero():
		result <- errors.New("the token could not be read, and Profit deletes only a token that it is shown")
	case client == nil:
		result <- errors.New("the connector is no longer in the configuration")
	case err != nil:
		result <- err
	default:
		started := e.callProfitLocked(x, func() {
			err := client.DeleteToken(e.life, token)
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.entries[x.key] == x {
				e.heedLocked(x, err, time.Now())
			}
			result <- err
		})
		if !started {
			result <- errors.New("the service is stopping")
		}
	}
	return result
}
