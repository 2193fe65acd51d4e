package enrol

import (
	"slices"
	"strings"
	"time"
)

// The limits on mails and calls, so that neither a person nor a fleet is flooded.
const (
	automaticPause    = time.Hour        // between automatic mails of one identity
	automaticPerUser  = 5                // automatic mails an hour to one Profit user of an environment
	askedPause        = 10 * time.Second // between mails that are asked for, of one identity
	askedPerHour      = 10               // mails an hour that are asked for, of one identity
	callsAtOnce       = 8                // of ours, per environment; AFAS's own limit
	firstBackOff      = 30 * time.Second
	longestBackOff    = time.Hour
	blockedRetry      = 24 * time.Hour
	keystoreRetry     = 30 * time.Second
	verifyEvery       = 24 * time.Hour
	verifyRefused     = time.Hour // a token that Profit has refused: does it take it again?
	verifyPause       = time.Minute
	refusalsApart     = 5 * time.Second // between the two 401s that condemn a token
	renewBefore       = 7 * 24 * time.Hour
	defaultRetention  = 168 * time.Hour
	initialReadBudget = 15 * time.Second
)

// backOff is the wait after so many failures in a row.
func backOff(failures int) time.Duration {
	return min(firstBackOff<<min(failures, 10), longestBackOff)
}

// askedAllowedAt is when a person may next cause a mail for this identity.
func (r *record) askedAllowedAt(now time.Time) time.Time {
	recent := r.recentlyAsked(now)
	allowed := now
	if n := len(recent); n > 0 {
		allowed = later(allowed, recent[n-1].Add(askedPause))
		if n >= askedPerHour {
			allowed = later(allowed, recent[n-askedPerHour].Add(time.Hour))
		}
	}
	return allowed
}

func (r *record) recentlyAsked(now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(r.Asked), func(at time.Time) bool { return !at.Add(time.Hour).After(now) })
}

// countAsked remembers one more mail that was asked for.
func (r *record) countAsked(now time.Time) { r.Asked = append(r.recentlyAsked(now), now) }

// moveAsked has the last mail that was asked for count from now, when it goes out at last.
func (r *record) moveAsked(now time.Time) {
	r.Asked = slices.Clone(r.Asked)
	if n := len(r.Asked); n > 0 {
		r.Asked[n-1] = later(r.Asked[n-1], now)
	}
}

// automaticAllowedAtLocked is when the service may next cause a mail for the entry by itself. The limit per Profit user
// goes over all identities of that user, so that one person with many applications is not flooded either.
func (e *Enroller) automaticAllowedAtLocked(x *entry, now time.Time) time.Time {
	allowed := now
	if !x.rec.LastAutomatic.IsZero() {
		allowed = later(allowed, x.rec.LastAutomatic.Add(automaticPause))
	}
	var recent []time.Time
	for _, other := range e.users[x.rec.mailbox()] {
		if at := other.rec.LastAutomatic; other != x && at.Add(time.Hour).After(now) {
			recent = append(recent, at)
		}
	}
	if n := len(recent); n >= automaticPerUser {
		slices.SortFunc(recent, time.Time.Compare)
		allowed = later(allowed, recent[n-automaticPerUser].Add(time.Hour))
	}
	return allowed
}

// mailbox is one Profit user of one environment. Profit does not tell cases apart in a user.
type mailbox struct{ baseURL, user string }

func (r *record) mailbox() mailbox { return mailbox{r.BaseURL, strings.ToLower(r.User)} }

// keptUntilLocked is when an orphan is forgotten. Its record outlives what limits calls and mails: who removes an
// entry and adds it again gets no more of them.
func (e *Enroller) keptUntilLocked(x *entry) time.Time {
	r := x.rec
	until := later(r.OrphanedAt.Add(e.policy.Retention), later(r.NotBefore, r.LastAutomatic.Add(automaticPause)))
	if n := len(r.Asked); n > 0 {
		until = later(until, r.Asked[n-1].Add(time.Hour))
	}
	return until
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
