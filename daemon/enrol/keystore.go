package enrol

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/profit"
)

// readBatch is how many entries are read between two writes of the record.
const readBatch = 512

// unread returns those of the entries whose tokens are to be read.
func (e *Enroller) unread(entries []Entry) []*entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	var unread []*entry
	for _, conf := range entries {
		if x := e.entries[conf.Key]; x.unread {
			unread = append(unread, x)
		}
	}
	return unread
}

// readUnread reads all that is unread.
func (e *Enroller) readUnread(ctx context.Context) {
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

	e.read(ctx, unread)

	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
}

// read reads tokens from the keystore. What the keystore does not give now stays unread and is tried again:
// unreadable is not lost.
func (e *Enroller) read(ctx context.Context, unread []*entry) {
	failures, failure := 0, error(nil)
	for rest := unread; len(rest) > 0; {
		batch := rest[:min(readBatch, len(rest))]
		rest = rest[len(batch):]
		items := make([]keystore.Item, len(batch))
		errs := make([]error, len(batch))
		for i, x := range batch {
			if errs[i] = ctx.Err(); errs[i] == nil {
				items[i], errs[i] = e.keystore.Get(ctx, x.key)
			}
			if isUnavailable(errs[i]) {
				failures, failure = failures+1, errs[i]
			}
		}
		e.learn(batch, items, errs)
	}
	if failures > 0 {
		e.log.Warn("the keystore does not give its tokens now; they are tried again", "tokens", failures, "error", failure)
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	e.readAt = time.Now().Add(keystoreRetry)
	for _, x := range unread {
		if x.unread && e.entries[x.key] == x {
			e.planLocked(x)
		}
	}
}

// isUnavailable tells whether the keystore has said nothing about the item: only "not there" and "damaged for good"
// are answers.
func isUnavailable(err error) bool {
	return err != nil && !errors.Is(err, keystore.ErrNotFound) && !errors.Is(err, keystore.ErrLost)
}

// learn takes in what the keystore said of the entries, with one write of the record.
func (e *Enroller) learn(batch []*entry, items []keystore.Item, errs []error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	records := map[string]*record{}
	for i, x := range batch {
		if !x.unread || x.wipe || e.entries[x.key] != x || !x.rec.OrphanedAt.IsZero() || isUnavailable(errs[i]) {
			continue
		}
		r := *x.rec
		if e.learnLocked(x, &r, items[i], errs[i], now) {
			records[x.key] = &r
		} else {
			e.showLocked(x, x.rec)
		}
	}
	err := e.journal.put(records)
	if err != nil {
		e.log.Error("cannot write the record of enrolments; is the disk full?", "error", err)
	}
	for key, r := range records {
		x := e.entries[key]
		x.unsaved, x.saveAt = err != nil, now.Add(keystoreRetry)
		e.showLocked(x, r)
	}
}

// learnLocked applies what the keystore said to the entry and its record; it tells whether the record changed.
func (e *Enroller) learnLocked(x *entry, r *record, item keystore.Item, err error, now time.Time) bool {
	x.unread = false
	if errors.Is(err, keystore.ErrNotFound) && (r.Holds == 0 || r.Holds < r.Floor) {
		changed := r.Holds != 0 || r.isNew()
		r.Holds = 0
		if r.isNew() {
			e.appearLocked(x, r, now)
		}
		return changed
	}
	token := profit.Token{}
	if err == nil {
		token, err = profit.ParseToken(string(item.Secret))
	}
	if err != nil {
		e.log.Warn("the keystore has lost the token", "connector", r.Connector, "user", r.User, "error", err)
		e.loseLocked(x, r, now)
		return true
	}
	x.held, x.verifyAt = token, now.Add(rand.N(time.Hour))
	if r.Holds == item.Generation && r.Fingerprint == token.Fingerprint() {
		return false
	}
	refused := r.Refused && r.Holds == item.Generation
	r.Holds, r.Refused = item.Generation, refused
	if item.Generation < r.Floor {
		return true // a reset could not delete it; now it can be
	}
	r.Fingerprint = token.Fingerprint()
	if (item.Generation >= r.Generation || r.State == Idle) && !refused { // idle: nothing is under way to replace it
		r.Generation = max(r.Generation, item.Generation)
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

// loseLocked is the keystore having lost the token for good. An enrolment that is under way goes on as it is.
func (e *Enroller) loseLocked(x *entry, r *record, now time.Time) {
	x.held = profit.Token{}
	r.Holds, r.Refused = 0, false
	switch {
	case r.isNew():
		e.appearLocked(x, r, now)
	case r.State == Active:
		r.RequestedBy, r.Fingerprint = "", ""
		r.on(keyLost, now)
		e.automaticLocked(x, r, now)
	default:
		return
	}
	r.Reason, r.Message = ReasonKeyLost, "The keystore has lost the token. "+nobodyHolds
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
	return x.rec.State == Storing || x.wipes()
}

// wipes tells whether what the keystore holds is to be deleted.
func (x *entry) wipes() bool { return x.wipe || x.rec.Holds != 0 && x.rec.Holds < x.rec.Floor }

// syncLocked brings the keystore up to the record beside everything else, one run per entry at a time. The channel
// is closed when the run has ended; until then what comes up is done in the same run.
func (e *Enroller) syncLocked(x *entry) <-chan struct{} {
	if x.sync != nil {
		return x.sync
	}
	done := make(chan struct{})
	x.sync = done
	if !e.startLocked(func() { e.syncKeystore(x) }) {
		x.sync = nil
		close(done)
	}
	e.planLocked(x)
	return done
}

// syncKeystore deletes and writes until the keystore agrees with the record, or until it fails.
func (e *Enroller) syncKeystore(x *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for err == nil {
		orphan := !x.rec.OrphanedAt.IsZero() && e.policy.Retention != 0
		switch {
		case orphan && !x.busy() && !e.keptUntilLocked(x).After(time.Now()):
			err = e.forgetLocked(x)
		case x.wipes():
			err = e.deleteLocked(x)
		case x.rec.State == Storing:
			err = e.storeLocked(x)
		default:
			e.syncedLocked(x)
			return
		}
		if e.entries[x.key] != x {
			close(x.sync)
			return
		}
	}
	e.log.Warn("the keystore does not take a change; it is tried again", "connector", x.rec.Connector, "user", x.rec.User, "error", err)
	x.syncAt = time.Now().Add(keystoreRetry)
	e.syncedLocked(x)
}

func (e *Enroller) syncedLocked(x *entry) {
	close(x.sync)
	x.sync = nil
	e.planLocked(x)
	e.poke()
}

// unlocked runs a call of the keystore without the lock, which the caller holds. The keystore bounds the call by
// itself; the end of the service does not, because a token may hang on it.
func (e *Enroller) unlocked(call func(context.Context) error) error {
	e.mu.Unlock()
	defer e.mu.Lock()
	return call(context.WithoutCancel(e.life))
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

// deleteLocked removes the token from the keystore, readable or not.
func (e *Enroller) deleteLocked(x *entry) error {
	if err := e.unlocked(func(ctx context.Context) error { return e.keystore.Delete(ctx, x.key) }); err != nil {
		return err
	}
	x.held, x.unread, x.wipe = profit.Token{}, false, false
	e.settleLocked(x, func(r *record) { r.Holds, r.Refused = 0, false })
	return nil
}

// forgetLocked removes the token and the record of an orphan whose retention is over. One that returns in that very
// moment has returned too late: its token is gone.
func (e *Enroller) forgetLocked(x *entry) error {
	if err := e.unlocked(func(ctx context.Context) error { return e.keystore.Delete(ctx, x.key) }); err != nil {
		if x.rec.State != Storing {
			x.unread, x.held = true, profit.Token{} // it may be gone all the same: should the entry return, it is read anew
			e.publishLocked(x)
		}
		return err
	}
	if x.rec.OrphanedAt.IsZero() {
		x.unread, x.wipe = false, false
		e.settleLocked(x, func(r *record) { e.loseLocked(x, r, time.Now()) })
		return nil
	}
	if err := e.journal.put(map[string]*record{x.key: nil}); err != nil {
		return err
	}
	e.log.Info("entry forgotten: its retention is over", "connector", x.rec.Connector, "user", x.rec.User)
	delete(e.entries, x.key)
	e.delistLocked(x)
	x.unsaved = false
	if x.index >= 0 {
		heap.Remove(&e.agenda, x.index)
	}
	e.tellLocked(x)
	return nil
}
