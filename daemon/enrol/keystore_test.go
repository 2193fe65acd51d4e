package enrol

import (
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
)

// A keystore that is locked at the start is waited for: nothing is lost, nothing is asked of Profit.
func TestKeystoreLockedAtTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.safe.set(locked)
		d.restart()
		d.pass(3 * time.Hour)
		view := d.is(d.key(), Active, "", 1)
		if !view.Unread || !view.Token.IsZero() {
			t.Errorf("unread %v, serves %v", view.Unread, view.Token)
		}
		if _, err := d.life.enrol.Ask(d.key(), "jan"); kindOf(err) != KeystoreUnavailable {
			t.Errorf("who asks gets %v", err)
		}

		d.safe.set(well)
		d.pass(keystoreRetry)
		if view := d.is(d.key(), Active, "", 1); view.Unread || view.Token != before.Token {
			t.Errorf("unlocked: unread %v, serves %v", view.Unread, view.Token)
		}
	})
}

// A new entry waits for the keystore too: it may hold a token that the record has lost.
func TestNewEntryWaitsForTheKeystore(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.safe.set(locked)
		d.start()
		d.pass(time.Hour)
		d.is(d.key(), Idle, ReasonNew, 0)
		d.safe.set(well)
		d.pass(keystoreRetry)
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
	})
}

// A token that the keystore has lost, by its own word, is enrolled anew.
func TestKeyLost(t *testing.T) {
	for _, damage := range []bool{false, true} {
		bubble(t, func(t *testing.T, d *device) {
			d.add("payroll", "jan")
			before := d.enrolled()
			d.lose(d.key(), damage)
			d.pass(2 * time.Hour)
			if d.is(d.key(), Active, "", 1).Token != before.Token {
				t.Error("what is in memory is not served any more")
			}
			d.restart()
			d.is(d.key(), AwaitingCode, ReasonKeyLost, 2)
			if view, err := d.activate(d.key()); err != nil || view.State() != Active {
				t.Error(view.State(), err)
			}
			d.restart()
			d.is(d.key(), Active, "", 2)
		})
	}
}

// An enrolment under way is not disturbed when the old token, on its way out, is lost.
func TestLosingAnOldTokenChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.lose(d.key(), true)
		d.restart()
		d.pass(2 * time.Hour)
		if view := d.is(d.key(), AwaitingCode, ReasonNew, 2); view.Status.RequestedBy != "jan" {
			t.Errorf("%+v", view.Status)
		}
	})
}

// The record is lost, the keystore is not: the token is served, and no mail is sent.
func TestTokenWithoutARecord(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.life.end()
		d.life = nil // forgets the state directory
		d.start()
		if d.is(d.key(), Active, "", 1).Token != before.Token {
			t.Error("another token is served")
		}
		if r := d.life.rec(d.key()); r.Generation != 1 || r.Holds != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// No code is spent on a keystore that could not take the token.
func TestKeystoreProvesItselfFirst(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(readOnly)
		if _, err := d.activate(d.key()); kindOf(err) != KeystoreUnavailable {
			t.Errorf("activation: %v", err)
		}
		if n := d.profit.Count("OtpValidation"); n != 0 {
			t.Errorf("%d codes were tried", n)
		}
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		d.safe.set(well)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// A keystore that fails although it has proved itself: the token is served from memory and stored later, and it is
// not called active before.
func TestStoringIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(fickle)
		view, err := d.activate(d.key())
		if err != nil || view.State() != Storing || view.Token.IsZero() {
			t.Fatalf("activation: %v, %v", view.State(), err)
		}
		if again, err := d.life.enrol.Activate(t.Context(), d.key(), profit.NewSecret("1"), "jan"); err != nil || again.Token != view.Token {
			t.Errorf("a second activation: %v", err)
		}
		d.pass(time.Hour)
		d.is(d.key(), Storing, "", 1)
		d.safe.set(well)
		d.pass(keystoreRetry)
		if d.is(d.key(), Active, "", 1).Token != view.Token {
			t.Error("another token is served")
		}
	})
}

// A token that was never stored is gone with the power; the entry says so and waits for a person.
func TestPowerFailureBeforeStoring(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(fickle)
		if _, err := d.activate(d.key()); err != nil {
			t.Error(err)
		}
		d.powerFails()
		d.pass(2 * time.Hour)
		if view := d.is(d.key(), Idle, "", 1); !view.Token.IsZero() || view.Status.Message == "" {
			t.Errorf("%+v", view)
		}
	})
}

// The power fails before the token of a renewal is stored: the old one goes on.
func TestPowerFailureInARenewal(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.safe.set(fickle)
		if _, err := d.activate(d.key()); err != nil {
			t.Error(err)
		}
		d.is(d.key(), Storing, "", 2)
		d.powerFails()
		d.pass(2 * time.Hour)
		if view := d.is(d.key(), Active, "", 2); view.Token != before.Token || view.Status.Fingerprint != before.Token.Fingerprint() {
			t.Errorf("%+v", view)
		}
	})
}

// A slow keystore holds the start up no longer than need be, and is read to the end.
func TestSlowKeystore(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		for _, user := range []string{"an", "ben", "cas", "dirk", "els", "fred", "gijs", "hans"} {
			d.add("payroll", user)
		}
		d.start()
		for _, line := range d.lines {
			if _, err := d.activate(line.key); err != nil {
				t.Error(err)
			}
		}
		d.life.end()
		d.safe.set(slow)
		began := time.Now()
		d.start()
		if took := time.Since(began); took > initialReadBudget {
			t.Errorf("the start took %v", took)
		}
		d.pass(time.Minute)
		for _, line := range d.lines {
			if view := d.is(line.key, Active, "", 1); view.Token.IsZero() {
				t.Errorf("%s is not served", line.key)
			}
		}
	})
}
