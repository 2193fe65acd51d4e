package enrol

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/profitd/profitd/profit"
)

// property is something that holds whatever happens and wherever the power fails. The number is that of the design.
type property string

const (
	tokenIsKept         property = "1: a token that reached us is served until it is reset, replaced, refused or orphaned"
	activeIsDurable     property = "1: what is active lies in the keystore, the very token with its generation"
	stopKeepsToken      property = "1: an orderly stop with a working keystore loses no token"
	restartIsQuiet      property = "2: a start asks for no code that was not waiting to be asked for"
	intentIsDurable     property = "2: the record on disk says what is asked of Profit before it is asked"
	diskIsMemory        property = "2: the record on disk is the record in memory, or known to be behind"
	resetIsFinal        property = "3: nothing of before a reset is served again, and no floor ever sinks"
	tokenIsOwn          property = "3: what is served was issued for the very entry"
	oneAtATime          property = "4: one request for a code per identity under way"
	automaticIsRare     property = "4: automatic mails: one an hour per identity, five an hour per Profit user"
	askedIsBounded      property = "4: mails that are asked for: one per 10 s, ten an hour per identity"
	askingIsNoRetry     property = "4: asking for a token shortens no back-off"
	waitsAreKept        property = "4: before the time that Profit has named nothing is asked of it"
	unreadableIsNotLost property = "5: what the keystore does not give is neither overwritten nor deleted nor asked for anew"
	orphanIsNotServed   property = "an entry that is not in the configuration is not served"
	nothingIsForgotten  property = "what is due stands on the agenda, or in the queue of a busy environment"
	endsWell            property = "with everything well again, who asks and enters the code gets a token"
)

func (d *device) breaks(p property, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breaksLocked(p, format, args...)
}

func (d *device) breaksLocked(p property, format string, args ...any) {
	d.broken = append(d.broken, fmt.Sprintf("%s: %s", p, fmt.Sprintf(format, args...)))
}

// memory is what a device remembers in order to judge. It knows nothing but what passed over the line.
type memory struct {
	tokens   map[profit.Token]arrival // that came, ever
	came     map[string]profit.Token  // the last that came for a key and was not given up since
	tried    map[string]uint64        // generation of the last code tried
	floor    map[string]uint64        // of the last reset that was carried out
	pending  map[string]mail          // the last request for a code
	mailbox  map[string]int           // mails seen
	mails    map[string][]mail
	quiet    map[string]bool // keys for which the start under way may not ask for a code
	tampered map[string]bool // keys whose item was lost behind the service's back
	patience time.Time       // Profit has asked for
	toldAt   time.Time
}

type arrival struct {
	key        string
	generation uint64
}

type mail struct {
	at        time.Time
	automatic bool
}

func newMemory() memory {
	return memory{
		tokens: map[profit.Token]arrival{}, came: map[string]profit.Token{}, tried: map[string]uint64{},
		floor: map[string]uint64{}, pending: map[string]mail{}, mailbox: map[string]int{}, mails: map[string][]mail{},
		quiet: map[string]bool{}, tampered: map[string]bool{},
	}
}

func (m *memory) request(key string, automatic bool, now time.Time) {
	m.pending[key] = mail{now, automatic}
}

// answeredLocked counts the mail that the last request caused, if it did.
func (d *device) answeredLocked(key string, mailbox int) {
	m := &d.memory
	if mailbox <= m.mailbox[key] {
		return
	}
	m.mailbox[key] = mailbox
	this := m.pending[key]
	earlier := slices.DeleteFunc(slices.Clone(m.mails[key]), func(other mail) bool { return other.automatic != this.automatic })
	m.mails[key] = append(m.mails[key], this)
	lastHour := func(mails []mail) (n int) {
		for _, other := range mails {
			if this.at.Sub(other.at) < time.Hour {
				n++
			}
		}
		return n
	}
	switch n := len(earlier); {
	case !this.automatic && n > 0 && this.at.Sub(earlier[n-1].at) < askedPause, !this.automatic && lastHour(earlier) >= askedPerHour:
		d.breaksLocked(askedIsBounded, "%s was mailed at %v, and before at %v", key, this.at, earlier)
	case this.automatic && lastHour(earlier) > 0:
		d.breaksLocked(automaticIsRare, "%s was mailed at %v, and before at %v", key, this.at, earlier)
	case this.automatic:
		var user []mail
		for other, mails := range m.mails {
			if userOf(other) == userOf(key) {
				user = append(user, mails...)
			}
		}
		user = slices.DeleteFunc(user, func(other mail) bool { return !other.automatic })
		if lastHour(user) > automaticPerUser {
			d.breaksLocked(automaticIsRare, "the user of %s was mailed %v", key, user)
		}
	}
}

// remembered holds what a start finds on disk against what was, and decides for which keys it has to be quiet.
func (d *device) remembered(records map[string]*record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &d.memory
	orderly := d.life != nil && d.life.image == "" && d.safe.mood == well
	for key := range m.floor {
		if records[key] == nil {
			d.forgottenLocked(key)
		}
	}
	for key, token := range m.came {
		item, there := d.safe.holds(key)
		if there && string(item.Secret) == token.Secret() {
			continue
		}
		if r := records[key]; orderly && r != nil && m.tokens[token].generation >= r.Floor && !m.tampered[key] {
			d.breaksLocked(stopKeepsToken, "%s: %+v", key, r)
		}
		delete(m.came, key)
	}
	clear(m.tampered)
	clear(m.quiet)
	patience := time.Time{}
	for key, r := range records {
		_, there := d.safe.holds(key)
		switch r.State {
		case Requesting:
			m.quiet[key] = r.Sending
		case Active:
			m.quiet[key] = there
		case Idle:
			m.quiet[key] = !r.isNew()
		case AwaitingCode, Validating, Storing:
			m.quiet[key] = true
		}
		patience = later(patience, r.NotBefore)
	}
	if d.life != nil && d.life.image != "" {
		m.patience = patience // what was told at the moment of a power failure may not have been written
	}
}

func (d *device) forgottenLocked(key string) {
	m := &d.memory
	delete(m.came, key)
	delete(m.floor, key)
	maps.DeleteFunc(m.tokens, func(_ profit.Token, a arrival) bool { return a.key == key })
}

// settled is the end of a start.
func (d *device) settled() {
	d.mu.Lock()
	clear(d.memory.quiet)
	d.mu.Unlock()
	d.check()
}

// onDisk reads the records as they are on disk now.
func (l *life) onDisk() map[string]*record {
	records := map[string]*record{}
	err := l.journal.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(recordsBucket).ForEach(func(key, value []byte) error {
			r := new(record)
			records[string(key)] = r
			return json.Unmarshal(value, r)
		})
	})
	if err != nil {
		l.device.t.Error(err)
	}
	return records
}

// check holds every entry against the properties, at a moment at which nothing moves.
func (d *device) check() {
	l := d.life
	onDisk := l.onDisk()
	l.enrol.mu.Lock()
	defer l.enrol.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.over {
		return
	}
	for _, line := range d.lines {
		if x := l.enrol.entries[line.key]; x != nil {
			d.checkEntryLocked(l, x, line, onDisk[line.key])
		} else {
			d.forgottenLocked(line.key)
		}
	}
	for environment, queue := range l.enrol.queues {
		if len(queue) > 0 && l.enrol.running[environment] < callsAtOnce {
			d.breaksLocked(nothingIsForgotten, "%d entries wait for %s, which is not busy", len(queue), environment)
		}
	}
}

func (d *device) checkEntryLocked(l *life, x *entry, line line, onDisk *record) {
	m, view, key := &d.memory, x.View(), x.key
	if asJSON(onDisk) != asJSON(x.rec) && !x.unsaved {
		d.breaksLocked(diskIsMemory, "%s: on disk %+v, in memory %+v", key, onDisk, x.rec)
	}
	if !view.Token.IsZero() {
		arrived, known := m.tokens[view.Token]
		switch {
		case view.Orphan || line.absent:
			d.breaksLocked(orphanIsNotServed, "%s", key)
		case !known || arrived.key != key:
			d.breaksLocked(tokenIsOwn, "%s is served %v, which came for %q", key, view.Token, arrived.key)
		case arrived.generation < m.floor[key]:
			d.breaksLocked(resetIsFinal, "%s is served a token of generation %d, it was reset at %d", key, arrived.generation, m.floor[key])
		}
	}
	if x.rec.Floor < m.floor[key] {
		d.breaksLocked(resetIsFinal, "the floor of %s sinks from %d to %d", key, m.floor[key], x.rec.Floor)
	}
	if item, there := d.safe.holds(key); view.State() == Active && !x.unread && !m.tampered[key] &&
		(!there || string(item.Secret) != view.Token.Secret() || item.Generation != x.rec.Holds) {
		d.breaksLocked(activeIsDurable, "%s serves %v, the keystore holds generation %d of it: %v", key, view.Token, item.Generation, there)
	}
	if token, came := m.came[key]; came {
		switch {
		case m.tokens[token].generation < x.rec.Floor:
			delete(m.came, key)
		case !view.Orphan && !x.unread && !x.rec.Refused && view.Token != token:
			d.breaksLocked(tokenIsKept, "%s serves %v, %v has come; the record is %+v", key, view.Token, token, x.rec)
		}
	}
	if due := l.enrol.dueAtLocked(x); !due.Equal(x.wake) || due.IsZero() != (x.index < 0) {
		d.breaksLocked(nothingIsForgotten, "%s is due at %v and stands on the agenda at %v", key, due, x.wake)
	}
	if x.queued && !slices.Contains(l.enrol.queues[x.rec.BaseURL], x) {
		d.breaksLocked(nothingIsForgotten, "%s waits in no queue", key)
	}
}

func asJSON(r *record) string {
	if r == nil {
		return "nothing"
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
