package enrol

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/profit"
)

// Options are what an Enroller needs. Journal and Keystore are required.
type Options struct {
	Journal  *Journal // closed by the Enroller
	Keystore keystore.Store
	Log      *slog.Logger // default: discards
}

// Policy is what the configuration says about enrolments as a whole.
type Policy struct {
	Spread    time.Duration // wait a random time up to this before an automatic first request
	Retention time.Duration // how long an orphan is kept; 0 is a week
}

// Enroller holds the entries of this device. New makes one, Reconcile tells it which entries there are, Run lets
// it work. All its methods may be called at the same time.
type Enroller struct {
	log      *slog.Logger
	journal  *Journal
	keystore keystore.Store

	calls   sync.WaitGroup     // what is under way with Profit and the keystore
	life    context.Context    // of the calls; ends when Close loses its patience
	abandon context.CancelFunc // ends life
	kick    chan struct{}      // something changed: look again
	changes chan []string      // to whoever listens: the keys of entries that changed

	// mu guards everything below and the entries' fields. It is never held across a call of Profit or the keystore.
	mu      sync.Mutex
	closed  bool
	policy  Policy // zero before the first Reconcile
	entries map[string]*entry
	users   map[mailbox][]*entry // for the limit on mails
	agenda  agenda               // entries by the time of what is due next
	running map[string]int       // calls of Profit under way, by environment
	queues  map[string][]*entry  // entries whose time has come and whose environment is busy
	patient map[string]time.Time // environments that asked for patience, until when
	changed []string             // keys of entries that changed and are not yet sent over changes
	reading bool                 // Run is having unread tokens read from the keystore
	readAt  time.Time            // when it does so next
}

// Handle follows one entry without any lock. It is good until the entry is forgotten.
type Handle struct{ view atomic.Pointer[View] }

// View returns the entry as it stands.
func (h *Handle) View() *View { return h.view.Load() }

// entry is one identity. Its fields are guarded by Enroller.mu, but for its Handle.
type entry struct {
	Handle
	key    string
	conf   Entry // as the configuration has it, or had it last; zero for an orphan of an earlier start
	rec    *record
	wake   time.Time // when it is on the agenda
	index  int       // where it is on the agenda; -1: nowhere
	queued bool      // waits for its environment to be less busy
	told   bool      // its key is in Enroller.changed

	unread  bool // the keystore has not yet said what it holds
	wipe    bool // a reset wants deleted whatever the keystore holds
	unsaved bool // the record on disk is behind; saveAt says when to try again
	saveAt  time.Time
	held    profit.Token // what the keystore holds, of generation rec.Holds
	fresh   profit.Token // has come and is not in the keystore yet, of generation freshOf
	freshOf uint64

	sync        chan struct{} // closed when the keystore work under way ends; nil: none
	syncAt      time.Time     // when to try again
	request     chan struct{} // closed when the request for a code under way ends; nil: none
	trying      bool          // a person's code is being tried
	verifying   chan struct{} // closed when the verification under way ends; nil: none
	judging     chan struct{} // closed when a reported token is judged; nil: none is reported
	judgingFrom time.Time     // when the first of those who wait for that reported it
	verifyAt    time.Time     // the next verification
	suspectAt   time.Time     // the first of two 401s
	rejectedAt  time.Time     // the last report that Profit refuses the token, and who made it
	rejectedBy  string
}

// New makes an Enroller of the records of the journal. Nothing is asked of Profit or the keystore, and nothing that
// is remembered is given up, before the first Reconcile.
func New(options Options) (*Enroller, error) {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Enroller{
		log: log, journal: options.Journal, keystore: options.Keystore,
		kick:    make(chan struct{}, 1),
		changes: make(chan []string),
		entries: make(map[string]*entry, len(options.Journal.records)),
		users:   map[mailbox][]*entry{},
		running: map[string]int{},
		queues:  map[string][]*entry{},
		patient: map[string]time.Time{},
	}
	e.life, e.abandon = context.WithCancel(context.Background())
	now := time.Now()
	interrupted := map[string]*record{}
	for key, r := range options.Journal.records {
		if restart(r, now) {
			interrupted[key] = r
		}
		x := &entry{key: key, rec: r, index: -1, unread: true}
		e.entries[key] = x
		e.enlistLocked(x)
		e.publishLocked(x)
	}
	options.Journal.records = nil
	if err := e.journal.put(interrupted); err != nil {
		return nil, fmt.Errorf("cannot write the record of enrolments: %w", err)
	}
	return e, nil
}

// restart is what a start of the service means to a record: what was under way has no answer any more. It tells
// whether anything was.
func restart(r *record, now time.Time) bool {
	switch {
	default:
		return false
	case r.State == Requesting && r.Sending:
		r.on(unanswered, now)
		r.perhapsMailed()
	case r.State == Validating:
		r.on(restarted, now)
		r.Message = "The service stopped while a code was being tried. Enter the code once more; if Profit does not take it, ask for a new one."
	case r.State == Storing:
		r.on(restarted, now)
		r.Message = "The service stopped before the keystore took the token that Profit had issued. " + nobodyHolds + " Ask for a new code."
	}
	return true
}

const nobodyHolds = "Profit may list a token that nobody holds."

func (r *record) perhapsMailed() {
	r.Reason, r.Mail = ReasonPerhapsMailed, "perhaps"
	r.Message = "Profit did not answer; it may have mailed a code all the same. If no mail comes, ask for a new code."
}

// Changes delivers the keys of entries that changed, in batches, while Run runs. View tells how they stand.
func (e *Enroller) Changes() <-chan []string { return e.changes }

// Handle returns the handle of an entry, nil if there is none.
func (e *Enroller) Handle(key string) *Handle {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.entries[key]; x != nil {
		return &x.Handle
	}
	return nil
}

// Views returns all entries, orphans among them.
func (e *Enroller) Views() []*View {
	e.mu.Lock()
	defer e.mu.Unlock()
	views := make([]*View, 0, len(e.entries))
	for _, x := range e.entries {
		views = append(views, x.View())
	}
	return views
}

// Reconcile makes the entries those of the configuration: new ones appear, missing ones are orphaned, those that
// return go on where they were. It reads the tokens of new entries from the keystore before it returns, unless the
// keystore is slow or unavailable: then it goes on trying. On an error nothing has changed.
func (e *Enroller) Reconcile(ctx context.Context, entries []Entry, policy Policy) error {
	if policy.Retention == 0 {
		policy.Retention = defaultRetention
	}
	return e.take(ctx, entries, &policy)
}

// Add is one more entry of the configuration, as a template makes them. Otherwise it is as Reconcile.
func (e *Enroller) Add(ctx context.Context, entry Entry) error {
	return e.take(ctx, []Entry{entry}, nil)
}

// take makes the entries ours; with a policy they are all there are.
func (e *Enroller) take(ctx context.Context, entries []Entry, policy *Policy) error {
	if err := e.adopt(entries, policy); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, initialReadBudget)
	defer cancel()
	e.read(ctx, e.unread(entries))
	e.poke()
	return nil
}

func (e *Enroller) adopt(entries []Entry, policy *Policy) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	wanted := make(map[string]bool, len(entries))
	records := map[string]*record{}
	for _, conf := range entries {
		wanted[conf.Key] = true
		old := &record{Status: Status{State: Idle, Reason: ReasonNew, Since: now}}
		x := e.entries[conf.Key]
		if x != nil {
			old = x.rec
		}
		r := *old
		r.About, r.BaseURL, r.OnRequest, r.OrphanedAt = conf.About, conf.BaseURL, conf.OnRequest, time.Time{}
		if r.Revision != conf.Revision {
			if r.Revision != "" && r.State == Blocked {
				r.RequestedBy = ""
				r.on(changed, now)
			}
			r.Revision = conf.Revision
		}
		if x != nil && !x.unread && r.isNew() {
			e.appearLocked(x, &r, now)
		}
		if x == nil || !r.sameAs(old) {
			records[conf.Key] = &r
		}
	}
	for key, x := range e.entries {
		if policy != nil && !wanted[key] && x.rec.OrphanedAt.IsZero() {
			r := *x.rec
			r.OrphanedAt = now
			records[key] = &r
		}
	}
	if err := e.journal.put(records); err != nil {
		return err
	}
	if policy != nil {
		e.policy = *policy
	}
	for _, conf := range entries {
		x := e.entries[conf.Key]
		if x == nil {
			x = &entry{key: conf.Key, index: -1, unread: true}
			e.entries[conf.Key] = x
		}
		x.conf = conf
	}
	for key, r := range records {
		x := e.entries[key]
		switch {
		case x.rec == nil:
			e.log.Info("entry appeared", "connector", r.Connector, "user", r.User)
		case r.OrphanedAt.IsZero() && !x.rec.OrphanedAt.IsZero():
			e.log.Info("entry returned", "connector", r.Connector, "user", r.User, "state", r.State)
		case !r.OrphanedAt.IsZero():
			e.log.Info("entry orphaned: it is no longer in the configuration", "connector", r.Connector, "user", r.User, "state", r.State)
			x.judged()
		}
		e.delistLocked(x)
		x.rec, x.unsaved = r, false
		e.enlistLocked(x)
		e.publishLocked(x)
	}
	if policy == nil {
		for key := range wanted {
			e.planLocked(e.entries[key])
		}
		return nil
	}
	for _, x := range e.entries { // with the first configuration everything may begin, and a new retention moves all
		e.planLocked(x)
	}
	return nil
}

// enlistLocked makes the entry count among those of its Profit user, and keeps the wait that Profit has told it.
func (e *Enroller) enlistLocked(x *entry) {
	e.users[x.rec.mailbox()] = append(e.users[x.rec.mailbox()], x)
	e.patient[x.rec.BaseURL] = later(e.patient[x.rec.BaseURL], x.rec.NotBefore)
}

// delistLocked is the opposite; an entry that is not listed is left alone.
func (e *Enroller) delistLocked(x *entry) {
	if x.rec == nil {
		return
	}
	user := x.rec.mailbox()
	e.users[user] = slices.DeleteFunc(e.users[user], func(other *entry) bool { return other == x })
	if len(e.users[user]) == 0 {
		delete(e.users, user)
	}
}

// sameAs tells whether a reconciliation has changed nothing that is on disk.
func (r *record) sameAs(other *record) bool {
	return r.About == other.About && r.BaseURL == other.BaseURL && r.OnRequest == other.OnRequest && r.OrphanedAt.Equal(other.OrphanedAt) &&
		r.Revision == other.Revision && r.State == other.State
}

// Run lets the Enroller work until ctx ends: requests that are due, retries, verifications.
func (e *Enroller) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []string
	for {
		e.mu.Lock()
		e.workLocked(time.Now())
		wait := e.waitLocked(time.Now())
		if len(batch) == 0 {
			batch = e.takeChangedLocked()
		}
		e.mu.Unlock()

		var changes chan []string
		if len(batch) > 0 {
			changes = e.changes
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.kick:
		case changes <- batch:
			batch = nil
		}
	}
}

func (e *Enroller) takeChangedLocked() []string {
	batch := e.changed
	e.changed = nil
	for _, key := range batch {
		if x := e.entries[key]; x != nil {
			x.told = false
		}
	}
	return batch
}

// Close waits for calls under way until ctx ends, then abandons them: their outcome counts as unknown. It keeps the
// keystore open, which is not its own.
func (e *Enroller) Close(ctx context.Context) error {
	e.mu.Lock()
	for _, x := range e.entries {
		if x.rec.State == Storing {
			e.syncLocked(x) // once more: it is lost with the memory
		}
		x.judged()
	}
	e.closed = true
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		e.abandon()
		<-done
	}
	e.abandon()
	return e.journal.Close()
}

// poke makes Run look again.
func (e *Enroller) poke() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// publishLocked makes the entry's view show how it stands.
func (e *Enroller) publishLocked(x *entry) {
	view := &View{Key: x.key, About: &x.rec.About, Status: &x.rec.Status, Unread: x.unread, Orphan: !x.rec.OrphanedAt.IsZero()}
	switch {
	case x.rec.State == Storing && !view.Orphan:
		view.Token = x.fresh
	case x.rec.served():
		view.Token = x.held
	}
	x.view.Store(view)
	e.tellLocked(x)
}

func (e *Enroller) tellLocked(x *entry) {
	if !x.told {
		x.told = true
		e.changed = append(e.changed, x.key)
	}
	e.poke()
}

// commitLocked changes the record: on disk first, then in memory. On an error nothing has changed.
func (e *Enroller) commitLocked(x *entry, change func(*record)) error {
	r := *x.rec
	change(&r)
	if err := e.journal.put(map[string]*record{x.key: &r}); err != nil {
		e.log.Error("cannot write the record of enrolments; is the disk full?", "error", err)
		return &Error{Kind: RecordUnavailable, Message: "The service cannot write its record: " + err.Error(), View: x.View()}
	}
	e.showLocked(x, &r)
	return nil
}

// settleLocked changes the record by something that has already happened, whether or not the disk takes it now.
// What is on disk meanwhile is the intent, from which a restart draws the cautious conclusion.
func (e *Enroller) settleLocked(x *entry, change func(*record)) {
	r := *x.rec
	change(&r)
	x.unsaved = false
	if err := e.journal.put(map[string]*record{x.key: &r}); err != nil && e.life.Err() == nil {
		e.log.Error("cannot write the record of enrolments; is the disk full?", "error", err)
		x.unsaved, x.saveAt = true, time.Now().Add(keystoreRetry)
	}
	e.showLocked(x, &r)
}

func (e *Enroller) showLocked(x *entry, r *record) {
	if r.State != x.rec.State {
		e.log.Info("entry is now "+string(r.State), "connector", r.Connector, "user", r.User, "state", r.State,
			"reason", r.Reason, "profit_log_reference", r.LogReference)
	}
	x.rec = r
	e.publishLocked(x)
	e.planLocked(x)
}

// startLocked runs a call of Profit or the keystore beside everything else. It tells whether it did: not any more
// once the Enroller is closing.
func (e *Enroller) startLocked(call func()) bool {
	if e.closed {
		return false
	}
	e.calls.Add(1)
	go func() {
		defer e.calls.Done()
		call()
	}()
	return true
}

// spreadBy is the random wait before an automatic first request.
func (e *Enroller) spreadByLocked() time.Duration {
	if e.policy.Spread <= 0 {
		return 0
	}
	return rand.N(e.policy.Spread)
}
