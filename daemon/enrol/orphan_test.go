package enrol

import (
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

func (d *device) absent(absent bool) {
	d.lines[0].absent = absent
	d.reconcile()
}

// An entry that leaves the configuration is not served and cannot be asked for; when it returns in time it goes on
// where it was, without a mail.
func TestOrphanReturns(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.absent(true)
		if view := d.is(d.key(), Orphaned, "", 1); !view.Token.IsZero() {
			t.Error("an orphan is served")
		}
		if _, err := d.life.enrol.Ask(d.key(), "jan"); kindOf(err) != Unknown {
			t.Errorf("who asks gets %v", err)
		}
		calls := len(d.profit.Calls())
		d.restart()
		d.pass(6 * 24 * time.Hour)
		if n := len(d.profit.Calls()); n != calls {
			t.Errorf("%d calls of Profit for an orphan", n-calls)
		}
		d.absent(false)
		if d.is(d.key(), Active, "", 1).Token != before.Token {
			t.Error("the token is not served again")
		}
	})
}

// A mail that is under way when the entry leaves is not sent again when it returns.
func TestOrphanAwaitingACode(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.absent(true)
		d.restart()
		d.pass(48 * time.Hour)
		d.absent(false)
		d.pass(time.Hour)
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// A token that comes for an entry that has just left is stored with it, and is there when the entry returns.
func TestTokenOfAnOrphanIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(fickle)
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: time.Minute, Times: 1})
		e, code := d.life.enrol, profit.NewSecret(d.code(d.key()))
		go e.Activate(t.Context(), d.key(), code, "jan")
		d.pass(time.Second)
		d.absent(true)
		d.pass(2 * time.Minute)
		d.safe.set(well)
		d.pass(keystoreRetry)
		d.powerFails()
		d.absent(false)
		if d.is(d.key(), Active, "", 1).Token.IsZero() {
			t.Error("no token")
		}
	})
}

// When the retention is over, token and record are deleted; the entry is then new.
func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Retention = 48 * time.Hour
		d.add("payroll", "jan")
		d.enrolled()
		d.absent(true)
		d.pass(47 * time.Hour)
		d.restart()
		if _, there := d.safe.holds(d.key()); !there {
			t.Error("deleted too early")
		}
		d.pass(2 * time.Hour)
		if _, there := d.safe.holds(d.key()); there || d.view(d.key()) != nil || len(d.life.onDisk()) != 0 {
			t.Errorf("in the keystore %v, view %v, on disk %v", there, d.view(d.key()), d.life.onDisk())
		}
		d.absent(false)
		d.is(d.key(), AwaitingCode, ReasonNew, 2)
	})
}

// A keystore that does not delete keeps the orphan alive; it is tried again.
func TestRetentionWaitsForTheKeystore(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Retention = 2 * time.Hour
		d.add("payroll", "jan")
		d.enrolled()
		d.absent(true)
		d.safe.set(locked)
		d.pass(5 * time.Hour)
		d.is(d.key(), Orphaned, "", 1)
		d.safe.set(well)
		d.pass(keystoreRetry)
		if _, there := d.safe.holds(d.key()); there || d.view(d.key()) != nil {
			t.Error("the orphan is still there")
		}
	})
}

// A deletion that ran out of time may have taken effect: an entry that returns after it is read anew.
func TestRetentionInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Retention = 2 * time.Hour
		d.add("payroll", "jan")
		d.enrolled()
		d.absent(true)
		d.safe.set(late)
		d.pass(2*time.Hour + time.Second)
		d.absent(false)
		d.is(d.key(), AwaitingCode, ReasonKeyLost, 2)
	})
}

// An orphan is not forgotten while something is under way that may bring a token: what comes is deleted with it.
func TestRetentionWaitsForWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Retention = time.Second
		d.add("payroll", "jan")
		d.start()
		d.pass(2 * time.Hour)
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: time.Minute, Times: 1})
		e, code := d.life.enrol, profit.NewSecret(d.code(d.key()))
		go e.Activate(t.Context(), d.key(), code, "jan")
		d.pass(time.Second)
		d.absent(true)
		d.pass(10 * time.Second)
		d.is(d.key(), Orphaned, ReasonNew, 1)
		d.pass(2 * time.Minute)
		if _, there := d.safe.holds(d.key()); there || d.view(d.key()) != nil || len(d.life.onDisk()) != 0 {
			t.Errorf("in the keystore %v, view %v, on disk %v", there, d.view(d.key()), d.life.onDisk())
		}
	})
}

// However short the retention, removing an entry and adding it again gets no more mails than the limit allows.
func TestRetentionOutlivesTheLimits(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Retention = time.Second
		d.add("payroll", "jan")
		d.start()
		for range 5 {
			d.absent(true)
			d.pass(10 * time.Minute)
			d.absent(false)
			d.pass(time.Minute)
		}
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
	})
}

// Without a configuration nothing is orphaned, nothing is asked, nothing is deleted.
func TestNoConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.life.end()
		journal, err := OpenJournal(d.life.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := &life{device: d, dir: d.life.dir, journal: journal, under: map[string]int{}}
		if l.enrol, err = New(Options{Journal: journal, Keystore: vault{life: l, safe: d.safe}}); err != nil {
			t.Fatal(err)
		}
		d.life = l
		go l.enrol.Run(t.Context())
		d.pass(30 * 24 * time.Hour)
		if view := d.is(d.key(), Active, "", 1); view.Orphan || !view.Token.IsZero() {
			t.Errorf("%+v", view)
		}
		if _, there := d.safe.holds(d.key()); !there {
			t.Error("the token was deleted")
		}
		if _, err := l.enrol.Code(t.Context(), d.key(), "jan"); kindOf(err) != Unknown {
			t.Errorf("who asks for a code gets %v", err)
		}
		if receipt, err := d.reset(true, true, false); err != nil || !receipt.DeletedHere || receipt.RevokeErr == nil {
			t.Errorf("%+v, %v", receipt, err)
		}
		d.is(d.key(), Idle, ReasonReset, 1)
	})
}
