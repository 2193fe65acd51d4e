package enrol

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

const baseURL = "https://12345.rest.afas.online/profitrestservices"

// device is what outlives the service: Profit, the keystore, the configuration, and what a test remembers of all that
// has happened. It lives in a bubble of testing/synctest.
type device struct {
	t      *testing.T
	profit *profittest.Profit
	safe   *safe
	policy Policy
	lines  []line // of the configuration, present or not

	mu     sync.Mutex // guards what follows
	life   *life      // of the service, from a start to a stop or a power failure
	memory memory
	broken []string // properties that did not hold
	trace  []string // what happened
}

// line is one user of one connector in the configuration.
type line struct {
	key       string
	connector profittest.Connector
	user      string
	onRequest bool
	absent    bool
	revision  string
}

// life is one run of the service.
type life struct {
	device  *device
	dir     string
	enrol   *Enroller
	journal *Journal
	stop    context.CancelFunc
	ran     sync.WaitGroup

	// Guarded by device.mu.
	over  bool           // nothing that it does has an effect any more
	fuse  int            // the power fails at the moment that counts it down to zero
	image string         // the state directory as the power failure left it
	under map[string]int // requests for a code under way, by key
}

// bubble runs a test with fake time and a device of its own.
func bubble(t *testing.T, test func(t *testing.T, d *device)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t)
		defer d.close()
		test(t, d)
		for _, property := range d.broken {
			t.Error(property)
		}
		if t.Failed() {
			for _, event := range d.trace {
				t.Log(event)
			}
		}
	})
}

func newDevice(t *testing.T) *device {
	d := &device{t: t, profit: profittest.NewProfit(), safe: newSafe(), memory: newMemory()}
	d.profit.SetBehaviour(profittest.Behaviour{RefuseWithoutMail: true})
	return d
}

func (d *device) close() {
	if d.life != nil {
		d.life.end()
	}
	d.profit.Close()
	synctest.Wait()
}

// add puts a user of a connector into the configuration. Both come to be in Profit if they are not there.
func (d *device) add(connector, user string) *line {
	i := slices.IndexFunc(d.lines, func(l line) bool { return l.connector.Description == connector })
	c := profittest.Connector{Description: connector, APIKey: "api-" + connector, EnvironmentKey: "environment-" + connector}
	if i < 0 {
		d.profit.AddConnector(c)
	}
	if !slices.ContainsFunc(d.lines, func(l line) bool { return l.user == user }) {
		d.profit.AddUser(profittest.User{ID: user, Email: user + "@example.com"})
	}
	d.lines = append(d.lines, line{key: keyOf(c.APIKey, user), connector: c, user: user, revision: "1"})
	return &d.lines[len(d.lines)-1]
}

func keyOf(apiKey, user string) string { return apiKey + "|" + user }

func userOf(key string) string {
	_, user, _ := strings.Cut(key, "|")
	return user
}

// key is the only line's.
func (d *device) key() string { return d.lines[0].key }

// entries is the configuration as the service gets it.
func (d *device) entries(l *life) []Entry {
	network, err := profit.NewNetwork(profit.NetworkOptions{Transport: l})
	if err != nil {
		d.t.Fatal(err)
	}
	var entries []Entry
	for _, line := range d.lines {
		if line.absent {
			continue
		}
		entries = append(entries, Entry{
			Key:     line.key,
			About:   About{Connector: line.connector.Description, User: line.user},
			BaseURL: baseURL,
			Client: network.Client(profit.Options{
				BaseURL: baseURL, SOAPURL: "https://12345.soap.afas.online/profitservices",
				APIKey: profit.NewSecret(line.connector.APIKey), EnvironmentKey: profit.NewSecret(line.connector.EnvironmentKey),
			}),
			OnRequest: line.onRequest, Revision: line.revision,
		})
	}
	return entries
}

// start starts the service on the state directory that the last life left, or on an empty one.
func (d *device) start() {
	l := &life{device: d, under: map[string]int{}}
	switch last := d.life; {
	case last == nil:
		l.dir = d.t.TempDir()
	case last.image != "":
		l.dir = last.image
	default:
		l.dir = last.dir
	}
	var err error
	if l.journal, err = OpenJournal(l.dir, nil); err != nil {
		d.t.Fatal(err)
	}
	l.journal.db.NoSync = true
	d.remembered(l.journal.records)
	if l.enrol, err = New(Options{Journal: l.journal, Keystore: vault{life: l, safe: d.safe}}); err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.life = l
	d.mu.Unlock()
	d.reconcile()
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	l.ran.Go(func() { l.enrol.Run(ctx) })
	l.ran.Go(func() {
		for {
			select {
			case <-l.enrol.Changes():
			case <-ctx.Done():
				return
			}
		}
	})
	synctest.Wait()
	d.settled()
}

// reconcile puts the configuration in force.
func (d *device) reconcile() {
	if err := d.life.enrol.Reconcile(context.Background(), d.entries(d.life), d.policy); err != nil {
		d.t.Error(err)
	}
	synctest.Wait()
}

// restart stops the service in order and starts it again.
func (d *device) restart() {
	d.life.end()
	d.start()
}

// end is an orderly stop: calls under way have ten seconds.
func (l *life) end() {
	if l.stop != nil {
		l.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.enrol.Close(ctx); err != nil {
		l.device.t.Error(err)
	}
	l.ran.Wait()
	l.device.mu.Lock()
	l.over = true
	l.device.mu.Unlock()
}

// powerFails ends the service at this very moment and starts it again on what is on disk.
func (d *device) powerFails() {
	d.mu.Lock()
	if !d.life.over {
		d.life.failLocked()
	}
	d.mu.Unlock()
	d.life.end() // whatever it still does has no effect
	d.start()
}

// powerFailsAfter lets so many moments pass first: the beginnings and ends of what is done outside this process.
func (d *device) powerFailsAfter(moments int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life.fuse = moments
}

func (l *life) failLocked() {
	l.over, l.image = true, filepath.Join(l.dir, fmt.Sprintf("after-%d", time.Now().UnixNano()))
	err := os.Mkdir(l.image, 0o700)
	if err == nil {
		err = l.journal.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(l.image, "enrolments.db"), 0o600) })
	}
	if err != nil {
		l.device.t.Error(err)
	}
	l.device.trace = append(l.device.trace, "power failure")
}

// moment is where the power can fail. It tells whether the service lives.
func (l *life) moment() bool {
	l.device.mu.Lock()
	defer l.device.mu.Unlock()
	if l.over {
		return false
	}
	if l.fuse > 0 {
		if l.fuse--; l.fuse == 0 {
			l.failLocked()
		}
	}
	return !l.over
}

// pass lets time pass, and then everything that it brings.
func (d *device) pass(t time.Duration) {
	time.Sleep(t)
	synctest.Wait()
}

func (d *device) view(key string) *View {
	handle := d.life.enrol.Handle(key)
	if handle == nil {
		return nil
	}
	return handle.View()
}

// rec is the record of a key in memory; the zero record if there is none.
func (l *life) rec(key string) record {
	l.enrol.mu.Lock()
	defer l.enrol.mu.Unlock()
	if x := l.enrol.entries[key]; x != nil {
		return *x.rec
	}
	return record{}
}

// code is the last that was mailed for a line.
func (d *device) code(key string) string {
	code := "00000000"
	for _, mail := range d.profit.Mails(userOf(key)) {
		if keyOf(mail.Connector, mail.User) == key {
			code = mail.Code
		}
	}
	return code
}

// mails counts what was mailed for a line.
func (d *device) mails(key string) int {
	n := 0
	for _, mail := range d.profit.Mails(userOf(key)) {
		if keyOf(mail.Connector, mail.User) == key {
			n++
		}
	}
	return n
}

// activate enters the code that was mailed.
func (d *device) activate(key string) (*View, error) {
	return d.life.enrol.Activate(context.Background(), key, profit.NewSecret(d.code(key)), "jan")
}

// enrolled brings the only line to active.
func (d *device) enrolled() *View {
	d.t.Helper()
	if d.life == nil {
		d.start()
	}
	view, err := d.activate(d.key())
	if err != nil || view.State() != Active {
		d.t.Fatalf("cannot enrol: %v, %v", view.State(), err)
	}
	d.pass(time.Minute) // the first verification
	return d.view(d.key())
}

// is holds a view against what is wanted.
func (d *device) is(key string, state State, reason string, mails int) *View {
	d.t.Helper()
	view := d.view(key)
	if view == nil {
		d.t.Fatalf("there is no entry %s", key)
	}
	if view.State() != state || view.Status.Reason != reason || d.mails(key) != mails {
		d.t.Errorf("%s is %s with reason %q (%s) after %d mails, want %s, %q, %d",
			key, view.State(), view.Status.Reason, view.Status.Message, d.mails(key), state, reason, mails)
	}
	return view
}

// kindOf is the kind of an error of this package, -1 for none.
func kindOf(err error) Kind {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Kind
	}
	return -1
}

// lose has the keystore lose an item behind the service's back.
func (d *device) lose(key string, damage bool) {
	inMemory := d.life.mayChange(key)
	d.mu.Lock()
	d.memory.tampered[key] = true
	if !inMemory {
		delete(d.memory.came, key)
	}
	d.mu.Unlock()
	d.safe.lose(key, damage)
}
