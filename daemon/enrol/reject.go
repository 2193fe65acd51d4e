package enrol

import (
	"context"
	"time"
)

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
	if x.View().Token.IsZero() || x.held.IsZero() {
		return x.View(), nil // nothing is served that Profit could refuse
	}
	if x.judging == nil {
		if err := e.mayJudgeLocked(x, now); err != nil {
			return nil, err
		}
		x.judging, x.judgingFrom = make(chan struct{}), now
	}
	x.rejectedAt, x.rejectedBy = now, by
	judging := x.judging
	switch {
	case x.verifying != nil:
	case x.suspectAt.IsZero():
		e.verifyLocked(x, now)
	default:
		x.verifyAt = later(now, x.suspectAt.Add(refusalsApart))
		e.planLocked(x)
		e.poke()
	}
	e.mu.Unlock()
	await(ctx, judging)
	e.mu.Lock()
	return x.View(), nil
}

func (e *Enroller) mayJudgeLocked(x *entry, now time.Time) error {
	if now.Sub(x.rejectedAt) < verifyPause {
		return &Error{
			Kind: TooMany, Message: "The token was verified less than a minute ago.",
			RetryAfter: x.rejectedAt.Add(verifyPause).Sub(now), View: x.View(),
		}
	}
	return e.patienceLocked(x, now)
}
