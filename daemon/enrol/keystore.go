package enrol

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/profit"
)

// readBatch is how many entries are read between two writes of the record.
const readBatch = 512

// readAll reads the tokens of all entries that are unread. What the keystore does not give now stays unread and is
// tried again: unreadable is not lost.
func (e *Enroller) readAll(ctx context.Context) {
	e.mu.Lock()
	if e.reading {
		e.mu.Unlock()
		return
	}
	e.reading = true
	var unread []*entry
	for _, x := range e.entries {
		if x.unread && x.rec.OrphanedAt.IsZero() {
			unread = append(unread, x)
		}
	}
	e.mu.Unlock()

	for len(unread) > 0 && ctx.Err() == nil {
		batch := unread[:min(readBatch, len(unread))]
		unread = unread[len(batch):]
		items := make([]keystore.Item, len(batch))
		errs := make([]error, len(batch))
		for i, x := range batch {
			items[i], errs[i] = e.keystore.Get(ctx, x.key)
		}
		e.learn(batch, items, errs)
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	e.readAt = time.Now().Add(keystoreRetry)
	for _, x := range e.entries {
		if x.unread {
			e.planLocked(x)
		}
	}
}

// learn takes in what the keystore said of the entries, with one write of the record.
func (e *Enroller) learn(batch []*entry, items []keystore.Item, errs []error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	records := map[string]*record{}
	for i, x := range batch {
		if !x.unread || !x.rec.OrphanedAt.IsZero() {
			continue
		}
		r := *x.rec
		if e.learnLocked(x, &r, items[i], errs[i], now) {
			records[x.key] = &r
		}
	}
	err := e.journal.put(records)
	if err != nil {
		e.log.Error("cannot write the record of enrolments; is the disk full?", "error", err)
	}
	for _, x := range batch {
		r := x.rec
		if changed := records[x.key]; changed != nil {
			r = changed
			x.unsaved, x.saveAt = err != nil, now.Add(keystoreRetry)
		}
		e.showLocked(x, r)
	}
}

// learnLocked applies what the keystore said to the entry and its record; it tells whether the record changed.
func (e *Enroller) learnLocked(x *entry, r *record, item keystore.Item, err error, now time.Time) bool {
	token, parseErr := profit.ParseToken(string(item.Secret))
	switch {
	case errors.Is(err, keystore.ErrNotFound) && r.Holds == 0, errors.Is(err, keystore.ErrNotFound) && r.Holds < r.Floor:
		x.unread = false
		changed := r.Holds != 0 || r.isNew()
		r.Holds = 0
		if r.isNew() {
			e.appearLocked(x, r, now)
		}
		return changed
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, keystore.ErrLost), err == nil && parseErr != nil:
		x.unread = false
		e.log.Warn("the keystore has lost the token", "connector", r.Connector, "user", r.User, "error", err)
		e.loseLocked(x, r, now)
		return true
	case err != nil:
		e.log.Warn("the keystore cannot give the token now; it is tried again", "connector", r.Connector, "user", r.User, "error", err)
		return false
	}
	x.unread, x.held = false, token
	x.verifyAt = now.Add(rand.N(time.Hour))
	if r.Holds == item.Generation && r.Fingerprint == token.Fingerprint() {
		return false
	}
	refused := r.Refused && r.Holds == item.Generation
	r.Holds, r.Refused = item.Generation, refused
	if item.Generation < r.Floor {
		return true // a reset could not delete it; now it can be
	}
	r.Fingerprint = token.Fingerprint()
	if item.Generation >= r.Generation && !refused {
		r.Generation = item.Generation
		r.becomeActive(found, now)
	}
	return true
}

// appearLocked is an entry of which nothing has been asked of Profit and of which the keystore holds nothing.
func (e *Enroller) appearLocked(x *entry, r *record, now time.Time) {
	r.RequestedBy = ""
	r.on(appeared, now)
	if r.State == Requesting {
		spread := e.spreadByLocked()
		r.NextAttemptAt, r.Spreading = now.Add(spread), spread > 0
	}
}

// loseLocked is the keystore having lost the token for good.
func (e *Enroller) loseLocked(x *entry, r *record, now time.Time) {
	x.held = profit.Token{}
	r.Holds, r.Refused, r.Fingerprint, r.RequestedBy = 0, false, "", ""
	if r.isNew() {
		e.appearLocked(x, r, now)
	} else {
		r.on(keyLost, now)
		e.automaticLocked(x, r, now)
	}
	r.Reason = ReasonKeyLost
	r.Message = "The keystore has lost the token. " + nobodyHolds
}

// automaticLocked gives a record that has just come to requesting by itself the time of its mail.
func (e *Enroller) automaticLocked(x *entry, r *record, now time.Time) {
	if r.State == Requesting {
		r.NextAttemptAt = e.automaticAllowedAtLocked(x, now)
	}
}

func (r *record) becomeActive(ev event, now time.Time) {
	if r.on(ev, now) {
		r.Reason, r.Message, r.LogReference, r.Failures = "", "", "", 0
	}
}

// unsynced tells whether the keystore is to take a token or to forget one.
func (x *entry) unsynced() bool {
	return x.rec.State == Storing || x.rec.Holds != 0 && x.rec.Holds < x.rec.Floor
}

// syncLocked brings the keystore up to the record beside everything else, one run per entry at a time. The channel
// is closed when the run has ended; x.syncErr says how.
func (e *Enroller) syncLocked(x *entry) <-chan struct{} {
	if x.sync == nil {
		done := make(chan struct{})
		x.sync = done
		if !e.startLocked(func() { e.syncKeystore(x) }) {
			x.sync = nil
			close(done)
		}
		return done
	}
	return x.sync
}

// syncKeystore writes and deletes until the keystore agrees with the record, or until it fails.
func (e *Enroller) syncKeystore(x *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for err == nil {
		r, now := x.rec, time.Now()
		expired := !r.OrphanedAt.IsZero() && !r.OrphanedAt.Add(e.policy.Retention).After(now)
		switch {
		case expired:
			err = e.forgetLocked(x)
			if e.entries[x.key] != x {
				close(x.sync)
				return
			}
		case r.State == Storing:
			err = e.storeLocked(x)
		case r.Holds != 0 && r.Holds < r.Floor:
			err = e.deleteLocked(x)
		default:
			e.syncedLocked(x, nil)
			return
		}
	}
	e.log.Warn("the keystore does not take a change; it is tried again", "connector", x.rec.Connector, "user", x.rec.User, "error", err)
	e.syncedLocked(x, err)
}

func (e *Enroller) syncedLocked(x *entry, err error) {
	close(x.sync)
	x.sync, x.syncErr = nil, err
	if err != nil {
		x.syncAt = time.Now().Add(keystoreRetry)
	}
	e.planLocked(x)
	e.poke()
}

// unlocked runs a call of the keystore without the lock, which the caller holds.
func (e *Enroller) unlocked(call func(context.Context) error) error {
	e.mu.Unlock()
	defer e.mu.Lock()
	return call(e.life)
}

// storeLocked gives the new token to the keystore. What was reset meanwhile is found below the floor and deleted.
func (e *Enroller) storeLocked(x *entry) error {
	generation, token := x.freshOf, x.fresh
	item := keystore.Item{
		Key: x.key, Label: x.rec.Connector + ", " + x.rec.User, Generation: generation, Secret: []byte(token.Secret()),
	}
	if err := e.unlocked(func(ctx context.Context) error { return e.keystore.Put(ctx, item) }); err != nil {
		return err
	}
	now := time.Now()
	x.held = token
	current := x.rec.State == Storing && x.rec.Generation == generation
	if current {
		x.fresh, x.verifyAt, x.suspectAt = profit.Token{}, now, time.Time{} // now: the verification tells when it expires
	}
	e.settleLocked(x, func(r *record) {
		r.Holds, r.Refused = generation, false
		if current {
			r.becomeActive(stored, now)
		}
	})
	return nil
}

// deleteLocked removes the token from the keystore.
func (e *Enroller) deleteLocked(x *entry) error {
	if err := e.unlocked(func(ctx context.Context) error { return e.keystore.Delete(ctx, x.key) }); err != nil {
		return err
	}
	x.held = profit.Token{}
	e.settleLocked(x, func(r *record) { r.Holds, r.Refused = 0, false })
	return nil
}

// forgetLocked removes the token and the record of an orphan whose retention is over. One that returns in that very
// moment has returned too late: its token is gone.
func (e *Enroller) forgetLocked(x *entry) error {
	if err := e.unlocked(func(ctx context.Context) error { return e.keystore.Delete(ctx, x.key) }); err != nil {
		return err
	}
	x.held, x.fresh = profit.Token{}, profit.Token{}
	if x.rec.OrphanedAt.IsZero() {
		e.settleLocked(x, func(r *record) { e.loseLocked(x, r, time.Now()) })
		return nil
	}
	if err := e.journal.put(map[string]*record{x.key: nil}); err != nil {
		return err
	}
	e.log.Info("entry forgotten: its retention is over", "connector", x.rec.Connector, "user", x.rec.User)
	delete(e.entries, x.key)
	user := mailbox{x.conf.BaseURL, x.rec.User}
	e.users[user] = slices.DeleteFunc(e.users[user], func(other *entry) bool { return other == x })
	e.tellLocked(x)
	return nil
}
