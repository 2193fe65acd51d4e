package enrol

import (
	"container/heap"
	"time"
)

// agenda is a heap of entries, the one whose time comes first on top.
type agenda []*entry

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].wake.Before(a[j].wake) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

func (a *agenda) Push(x any) {
	x.(*entry).index = len(*a)
	*a = append(*a, x.(*entry))
}

func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = nil
	*a = (*a)[:len(*a)-1]
	last.index = -1
	return last
}

// planLocked puts the entry on the agenda at the time of what is due next, or takes it off.
func (e *Enroller) planLocked(x *entry) {
	x.wake = e.dueAtLocked(x)
	switch {
	case x.wake.IsZero() && x.index >= 0:
		heap.Remove(&e.agenda, x.index)
	case x.wake.IsZero():
	case x.index >= 0:
		heap.Fix(&e.agenda, x.index)
	default:
		heap.Push(&e.agenda, x)
	}
}

// dueAtLocked is when something is to be done about the entry; zero: nothing that time brings.
func (e *Enroller) dueAtLocked(x *entry) time.Time {
	var due time.Time
	at := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if x.unsaved {
		at(x.saveAt)
	}
	if e.policy.Retention == 0 {
		return due // no configuration yet
	}
	if x.sync == nil && x.unsynced() {
		at(later(x.rec.Since, x.syncAt))
	}
	if !x.rec.OrphanedAt.IsZero() {
		if x.sync == nil && !x.busy() {
			at(later(e.keptUntilLocked(x), x.syncAt))
		}
		return due
	}
	if x.unread {
		at(e.readAt)
		return due
	}
	if x.queued {
		return due
	}
	if x.requests() {
		at(x.rec.NextAttemptAt)
	}
	if x.verifiable() {
		at(x.verifyAt)
	}
	return due
}

// requests tells whether the service is to ask for a code, at the entry's NextAttemptAt.
func (x *entry) requests() bool {
	return x.request == nil && !x.trying && (x.rec.State == Requesting || x.rec.State == Blocked)
}

// verifiable tells whether there is a token to ask Profit about, and nobody is asking.
func (x *entry) verifiable() bool {
	return x.verifying == nil && !x.held.IsZero() && x.rec.Holds >= x.rec.Floor
}

// busy tells whether something is under way that still needs the entry.
func (x *entry) busy() bool {
	return x.request != nil || x.trying || x.verifying != nil || x.queued
}

// waitLocked is how long Run may sleep.
func (e *Enroller) waitLocked(now time.Time) time.Duration {
	if len(e.agenda) == 0 {
		return 24 * time.Hour
	}
	return max(0, e.agenda[0].wake.Sub(now))
}

// workLocked starts what is due.
func (e *Enroller) workLocked(now time.Time) {
	for len(e.agenda) > 0 && !e.agenda[0].wake.After(now) && !e.closed {
		x := e.agenda[0]
		heap.Pop(&e.agenda)
		e.attendLocked(x, now)
		if x.index < 0 && e.entries[x.key] == x {
			e.planLocked(x)
		}
	}
	for environment := range e.queues {
		e.admitLocked(environment, now)
	}
}

// attendLocked starts the first thing that is due for the entry, and moves on what would be due again at once.
func (e *Enroller) attendLocked(x *entry, now time.Time) {
	isDue := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	switch {
	case x.unsaved && isDue(x.saveAt):
		e.settleLocked(x, func(*record) {})
	case x.sync == nil && x.unsynced() && !x.syncAt.After(now):
		e.syncLocked(x)
	case !x.rec.OrphanedAt.IsZero():
		if x.sync == nil && !x.busy() {
			e.syncLocked(x)
		}
	case x.unread:
		if isDue(e.readAt) {
			e.readAt = now.Add(keystoreRetry)
			e.startLocked(func() { e.readUnread(e.life) })
		}
	case x.queued:
	case x.requests() && isDue(x.rec.NextAttemptAt):
		e.queueLocked(x, now, e.requestLocked)
	case x.verifiable() && isDue(x.verifyAt):
		if patience := e.patient[x.rec.BaseURL]; patience.After(now) {
			x.verifyAt = patience
			return
		}
		e.queueLocked(x, now, e.verifyLocked)
	}
}

// queueLocked starts a call of Profit, or lets the entry wait until its environment is less busy.
func (e *Enroller) queueLocked(x *entry, now time.Time, call func(*entry, time.Time)) {
	environment := x.rec.BaseURL
	if e.running[environment] >= callsAtOnce {
		x.queued = true
		e.queues[environment] = append(e.queues[environment], x)
		return
	}
	call(x, now)
}

// admitLocked attends to the entries that wait for the environment, until it is busy again. What was due for one of
// them may not be due any more; then the next one's turn comes at once.
func (e *Enroller) admitLocked(environment string, now time.Time) {
	for e.running[environment] < callsAtOnce && !e.closed {
		queue := e.queues[environment]
		if len(queue) == 0 {
			delete(e.queues, environment)
			return
		}
		x := queue[0]
		e.queues[environment] = queue[1:]
		x.queued = false
		e.attendLocked(x, now)
		e.planLocked(x)
	}
}

// callProfitLocked runs a call within the environment's limit. It tells whether it did: not once the Enroller is
// closing.
func (e *Enroller) callProfitLocked(x *entry, call func()) bool {
	environment := x.rec.BaseURL
	started := e.startLocked(func() {
		call()
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.running[environment]--; e.running[environment] == 0 {
			delete(e.running, environment)
		}
		e.poke() // for those that wait for the environment
	})
	if started {
		e.running[environment]++
	}
	return started
}
