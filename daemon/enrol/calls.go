package enrol

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/profitd/profitd/profit"
)

// requestLocked asks Profit for a code, if every limit allows it now; else it puts the attempt off.
func (e *Enroller) requestLocked(x *entry, now time.Time) {
	if e.closed {
		return
	}
	if x.rec.State == Blocked {
		e.settleLocked(x, func(r *record) {
			r.RequestedBy = ""
			r.on(due, now)
		})
	}
	automatic := x.rec.RequestedBy == ""
	allowed := later(now, e.patient[x.rec.BaseURL])
	if automatic {
		allowed = later(allowed, e.automaticAllowedAtLocked(x, now))
	}
	if allowed.After(now) {
		e.settleLocked(x, func(r *record) { r.NextAttemptAt = allowed })
		return
	}
	intent := func(r *record) {
		r.Sending, r.Spreading, r.RequestedAt = true, false, now
		if automatic {
			r.LastAutomatic = now
		} else {
			r.moveAsked(now)
		}
	}
	if err := e.commitLocked(x, intent); err != nil {
		e.settleLocked(x, func(r *record) { r.NextAttemptAt = now.Add(keystoreRetry) })
		return
	}
	client, user, generation := x.conf.Client, x.rec.User, x.rec.Generation
	done := make(chan struct{})
	x.request = done
	e.callProfitLocked(x, func() {
		err := client.RequestOTP(e.life, user)
		e.mu.Lock()
		defer e.mu.Unlock()
		defer close(done) // once the answer is in the record
		x.request = nil
		if e.life.Err() != nil && err != nil {
			return // the record says that a request was under way: the next start knows what that means
		}
		now := time.Now()
		e.heedLocked(x, err, now)
		if x.rec.Generation == generation && x.rec.Sending {
			e.settleLocked(x, func(r *record) { e.answeredLocked(x, r, err, now) })
		}
		e.planLocked(x)
	})
	e.planLocked(x)
}

// answeredLocked is what Profit's answer to a request for a code means.
func (e *Enroller) answeredLocked(x *entry, r *record, err error, now time.Time) {
	r.Sending = false
	var failure *profit.Error
	switch {
	case err == nil:
		r.on(sent, now)
		r.Mail, r.Message, r.LogReference = "sent", "Profit has mailed an activation code to this user.", ""
		if isTrouble(r.Reason) {
			r.Reason = ReasonNew
		}
		return
	case !errors.As(err, &failure):
		failure = &profit.Error{Op: "ask for a code", Kind: profit.Unreachable, Err: err}
	}
	r.LogReference = failure.LogReference
	if failure.Reached == profit.Maybe {
		r.on(unanswered, now)
		r.perhapsMailed()
		return
	}
	r.Reason, r.Message = reasonOf(failure), failure.Error()
	if r.RequestedBy == "" {
		r.LastAutomatic = time.Time{} // no mail went out
	}
	if !failure.Temporary() {
		r.on(refused, now)
		r.NextAttemptAt = now.Add(blockedRetry)
		return
	}
	r.on(failed, now)
	r.NextAttemptAt = later(now.Add(backOff(r.Failures)), e.patient[x.rec.BaseURL])
	r.Failures++
}

// heedLocked keeps a wait that Profit has told, whatever the call was, for the whole environment. Package profit has
// cut it to 24 hours.
func (e *Enroller) heedLocked(x *entry, err error, now time.Time) {
	var failure *profit.Error
	if !errors.As(err, &failure) || !failure.RetryAt.After(now) {
		return
	}
	until := failure.RetryAt
	e.patient[x.rec.BaseURL] = later(e.patient[x.rec.BaseURL], until)
	e.settleLocked(x, func(r *record) { r.NotBefore = later(r.NotBefore, until) })
}

// isPatient tells whether Profit has asked for patience.
func (e *Enroller) isPatient(x *entry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.patienceLocked(x, time.Now()) != nil
}

// patienceLocked is an error while Profit has asked for patience.
func (e *Enroller) patienceLocked(x *entry, now time.Time) error {
	until := e.patient[x.rec.BaseURL]
	if !until.After(now) {
		return nil
	}
	return &Error{
		Kind: ProfitUnavailable, Message: "Profit has asked for patience until " + until.Format(time.RFC3339) + ".",
		RetryAfter: until.Sub(now), View: x.View(),
	}
}

// reasonOf names Profit's refusal in one word.
func reasonOf(failure *profit.Error) string {
	switch failure.Kind {
	case profit.Unauthorized:
		return ReasonWrongKey
	case profit.IPRestricted:
		return ReasonIPRestricted
	case profit.Maintenance, profit.Failed:
		return ReasonMaintenance
	case profit.TLS:
		return ReasonTLS
	case profit.Unreachable, profit.Interrupted:
		return ReasonUnreachable
	}
	return ReasonRefusedByProfit
}

// isTrouble tells whether a reason speaks of the last attempt, not of why there is an enrolment.
func isTrouble(reason string) bool {
	switch reason {
	case ReasonNew, ReasonReset, ReasonRefusedToken, ReasonExpiring, ReasonKeyLost:
		return false
	}
	return true
}

// verifyLocked asks Profit whether it takes the token, and when it expires. An answer counts for the token that was
// asked about and for no other.
func (e *Enroller) verifyLocked(x *entry, now time.Time) {
	client, token, generation := x.conf.Client, x.held, x.rec.Holds
	done := make(chan struct{})
	x.verifying = done
	started := e.callProfitLocked(x, func() {
		_, err := client.Version(e.life, token)
		var info *profit.MetaInfo
		var infoErr error
		if err == nil && !e.isPatient(x) {
			var answer profit.MetaInfo
			if answer, infoErr = client.MetaInfo(e.life, token); infoErr == nil {
				info = &answer
			}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		defer close(done)
		x.verifying = nil
		began, now := now, time.Now()
		e.heedLocked(x, err, now)
		e.heedLocked(x, infoErr, now)
		if e.life.Err() == nil && x.rec.Holds == generation && x.held == token {
			e.verifiedLocked(x, err, info, now)
		}
		switch {
		case err == nil && x.judging != nil && x.judgingFrom.After(began) && !e.closed:
			x.verifyAt = now // what was asked before the report says nothing about it
		case x.suspectAt.IsZero() || !isRefusal(err) || e.closed:
			x.judged()
		}
		e.planLocked(x)
		e.poke()
	})
	if !started {
		close(done)
		x.verifying = nil
		x.judged()
	}
	e.planLocked(x)
}

// judged tells those who wait for it that a reported token is judged, or cannot be judged now.
func (x *entry) judged() {
	if x.judging != nil {
		close(x.judging)
		x.judging = nil
	}
}

// isRefusal tells whether Profit does not take the token.
func isRefusal(err error) bool {
	var failure *profit.Error
	return errors.As(err, &failure) && failure.Kind == profit.Unauthorized
}

// verifiedLocked is what the answer to a verification means.
func (e *Enroller) verifiedLocked(x *entry, err error, info *profit.MetaInfo, now time.Time) {
	switch {
	case err == nil:
		x.suspectAt = time.Time{}
		x.verifyAt = now.Add(verifyEvery + rand.N(time.Hour))
		e.acceptedLocked(x, info, now)
	case !isRefusal(err):
		x.verifyAt = now.Add(verifyRefused)
		if !x.suspectAt.IsZero() {
			x.verifyAt = now.Add(verifyPause)
		}
	case x.rec.Refused:
		x.verifyAt = now.Add(verifyRefused)
	case x.suspectAt.IsZero() || now.Sub(x.suspectAt) < refusalsApart:
		if x.suspectAt.IsZero() {
			x.suspectAt = now
		}
		x.verifyAt = x.suspectAt.Add(refusalsApart)
	default:
		x.suspectAt = time.Time{}
		x.verifyAt = now.Add(verifyRefused)
		e.settleLocked(x, func(r *record) { e.condemnedLocked(x, r, now) })
	}
}

// acceptedLocked is Profit taking the token.
func (e *Enroller) acceptedLocked(x *entry, info *profit.MetaInfo, now time.Time) {
	again := x.rec.Refused
	expiryChanged := info != nil && !info.Expiry.Equal(x.rec.ExpiresAt)
	if !again && !expiryChanged && !x.rec.expiresSoon(now) {
		return
	}
	e.settleLocked(x, func(r *record) {
		if expiryChanged {
			r.ExpiresAt = info.Expiry
		}
		if again {
			r.Refused = false
			r.becomeActive(tokenAccepted, now)
		}
		if r.State == Active && !r.OnRequest && r.expiresSoon(now) {
			r.RequestedBy = ""
			r.on(expiring, now)
			r.Reason, r.Message = ReasonExpiring, "The token expires soon; a new one is being asked for, and the old one is served meanwhile."
			e.automaticLocked(x, r, now)
		}
	})
}

// expiresSoon tells whether it is time for a new token: a week before the end, or when four fifths of a short life
// are over.
func (r *record) expiresSoon(now time.Time) bool {
	if !r.ExpiresAt.After(r.IssuedAt) {
		return false // none, or one that says nothing: Profit takes the token
	}
	return r.ExpiresAt.Sub(now) < min(renewBefore, r.ExpiresAt.Sub(r.IssuedAt)/5)
}

// condemnedLocked is Profit having refused the token twice.
func (e *Enroller) condemnedLocked(x *entry, r *record, now time.Time) {
	r.Refused = true
	if r.State != Active {
		return // a new enrolment is under way already
	}
	r.RequestedBy = ""
	if now.Sub(x.rejectedAt) < verifyPause {
		r.RequestedBy = x.rejectedBy
	}
	r.on(tokenRefused, now)
	r.Reason, r.Message = ReasonRefusedToken, "Profit no longer takes the token; a new one is needed."
	switch {
	case r.State != Requesting:
	case r.RequestedBy == "":
		e.automaticLocked(x, r, now)
	default:
		r.NextAttemptAt = r.askedAllowedAt(now)
		r.countAsked(r.NextAttemptAt)
	}
}
