package enrol

import (
	"context"
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

func (d *device) reset(revoke, enrol, dryRun bool) (Receipt, error) {
	return d.life.enrol.Reset(context.Background(), d.key(), revoke, enrol, dryRun, "ria")
}

// A reset forgets the token here and in Profit, and sends one code; repeated it sends none.
func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		receipt, err := d.reset(true, true, false)
		if err != nil || !receipt.HadToken || !receipt.DeletedHere || !receipt.DeletedInProfit || receipt.RevokeErr != nil {
			t.Errorf("%+v, %v", receipt, err)
		}
		if receipt.Before.State() != Active || receipt.After == nil || !receipt.After.Token.IsZero() {
			t.Errorf("before %v, after %v", receipt.Before, receipt.After)
		}
		if tokens := d.profit.Tokens(); len(tokens) != 0 {
			t.Errorf("Profit lists %d tokens", len(tokens))
		}
		if _, there := d.safe.holds(d.key()); there {
			t.Error("the token is in the keystore")
		}
		d.pass(time.Second)
		if view := d.is(d.key(), AwaitingCode, ReasonReset, 2); view.Status.RequestedBy != "ria" {
			t.Errorf("requested by %q", view.Status.RequestedBy)
		}

		for range 3 {
			d.pass(time.Minute)
			if receipt, err := d.reset(true, true, false); err != nil || receipt.HadToken || receipt.After == nil {
				t.Errorf("repeated: %+v, %v", receipt, err)
			}
		}
		d.is(d.key(), AwaitingCode, ReasonReset, 2)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// A dry run changes nothing, and says what would be done by leaving out what was.
func TestResetDryRun(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		receipt, err := d.reset(true, true, true)
		if err != nil || !receipt.HadToken || receipt.DeletedHere || receipt.DeletedInProfit || receipt.After != nil {
			t.Errorf("%+v, %v", receipt, err)
		}
		if d.is(d.key(), Active, "", 1).Token != before.Token || len(d.profit.Tokens()) != 1 {
			t.Error("something has changed")
		}
	})
}

// A reset without enrolment waits for somebody who asks.
func TestResetWithoutEnrolment(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		for range 2 {
			if _, err := d.reset(false, false, false); err != nil {
				t.Error(err)
			}
			d.pass(48 * time.Hour)
			d.is(d.key(), Idle, ReasonReset, 1)
		}
		if _, err := d.life.enrol.Ask(d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.pass(time.Second)
		d.is(d.key(), AwaitingCode, ReasonReset, 2)
	})
}

// A reset while a code is tried: the token that comes of it is not taken.
func TestResetDuringValidation(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: time.Minute, Times: 1})
		code := profit.NewSecret(d.code(d.key()))
		result := make(chan error, 1)
		go func() {
			_, err := d.life.enrol.Activate(t.Context(), d.key(), code, "jan")
			result <- err
		}()
		d.pass(time.Second)
		d.is(d.key(), Validating, ReasonNew, 1)
		if _, err := d.reset(false, false, false); err != nil {
			t.Error(err)
		}
		d.pass(2 * time.Minute)
		if err := <-result; kindOf(err) != NotAwaiting {
			t.Errorf("who entered the code gets %v", err)
		}
		if view := d.is(d.key(), Idle, ReasonReset, 1); !view.Token.IsZero() {
			t.Error("the token is served")
		}
		d.restart()
		d.is(d.key(), Idle, ReasonReset, 1)
		if _, there := d.safe.holds(d.key()); there {
			t.Error("the token was stored")
		}
	})
}

// A reset while Profit is asked for a code: the answer to the old request, good or bad, is not taken for one to the
// new request, which goes out when the old one has ended.
func TestResetDuringARequest(t *testing.T) {
	for _, fault := range []profittest.Fault{{}, {Answer: profittest.Empty(401)}, {Answer: profittest.Maintenance(time.Minute)}} {
		bubble(t, func(t *testing.T, d *device) {
			d.add("payroll", "jan")
			fault.Call, fault.Delay, fault.Times = "OtpRequest", time.Minute, 1
			d.profit.Fault(fault)
			d.start()
			if _, err := d.reset(false, true, false); err != nil {
				t.Error(err)
			}
			d.pass(30 * time.Second)
			d.is(d.key(), Requesting, ReasonReset, 0)
			d.pass(10 * time.Minute)
			mails := 2
			if fault.Answer != nil {
				mails = 1
			}
			d.is(d.key(), AwaitingCode, ReasonReset, mails)
			if view, err := d.activate(d.key()); err != nil || view.State() != Active {
				t.Error(err)
			}
		})
	}
}

// A reset while the keystore takes the token: it is deleted right after.
func TestResetDuringStoring(t *testing.T) {
	for _, m := range []mood{slow, late} {
		bubble(t, func(t *testing.T, d *device) {
			d.add("payroll", "jan")
			d.start()
			d.safe.set(m)
			go d.activate(d.key())
			d.pass(4 * time.Second) // a slow keystore has been probed, and is storing
			d.is(d.key(), Storing, "", 1)
			if m == late {
				d.safe.set(well)
			}
			receipt, err := d.reset(false, false, false)
			if err != nil || !receipt.HadToken || !receipt.DeletedHere {
				t.Errorf("%+v, %v", receipt, err)
			}
			if _, there := d.safe.holds(d.key()); there {
				t.Error("the token is in the keystore")
			}
			d.safe.set(well)
			d.restart()
			d.is(d.key(), Idle, ReasonReset, 1)
		})
	}
}

// The power fails between a reset's record and the keystore: at the next start the token is found below the floor,
// not served, and deleted.
func TestPowerFailureInAReset(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.powerFailsAfter(1)
		_, _ = d.reset(false, false, false)
		if _, there := d.safe.holds(d.key()); !there {
			t.Fatal("the keystore was faster")
		}
		d.powerFails()
		if view := d.is(d.key(), Idle, ReasonReset, 1); !view.Token.IsZero() {
			t.Error("the token is served")
		}
		if _, there := d.safe.holds(d.key()); there {
			t.Error("the token is still in the keystore")
		}
	})
}

// A keystore whose item cannot be read, for good: a reset is the way out.
func TestResetOfWhatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.safe.set(locked)
		d.restart()
		receipt, err := d.reset(true, true, false)
		if err != nil || !receipt.HadToken || receipt.DeletedHere || receipt.RevokeErr == nil {
			t.Errorf("%+v, %v", receipt, err)
		}
		d.safe.set(well)
		d.pass(keystoreRetry)
		if _, there := d.safe.holds(d.key()); there {
			t.Error("the token is still in the keystore")
		}
		d.is(d.key(), AwaitingCode, ReasonReset, 2)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// The record is lost, the item cannot be read, and a reset cannot delete it yet: when it can be read at last, the reset
// still counts, though the item's generation is above any floor that is known.
func TestResetWithoutARecord(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.start()
		for range 3 {
			if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
				t.Error(err)
			}
			if _, err := d.activate(d.key()); err != nil {
				t.Error(err)
			}
			d.pass(time.Minute)
		}
		d.life.end()
		d.life = nil // forgets the state directory
		d.safe.set(locked)
		d.start()
		if _, err := d.reset(false, false, false); err != nil {
			t.Error(err)
		}
		d.safe.set(readOnly)
		d.pass(time.Hour)
		if view := d.is(d.key(), Idle, ReasonReset, 3); !view.Token.IsZero() {
			t.Error("the token is served")
		}
		d.safe.set(well)
		d.pass(keystoreRetry)
		if _, there := d.safe.holds(d.key()); there || d.view(d.key()).Unread {
			t.Errorf("in the keystore %v, unread %v", there, d.view(d.key()).Unread)
		}
	})
}

// A token that the keystore took without saying so is reset like any other: the floor rises before it is deleted.
func TestResetOfATokenInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.start()
		for range 2 {
			if _, err := d.reset(false, true, false); err != nil {
				t.Error(err)
			}
			d.pass(time.Minute)
			d.safe.set(late)
			if _, err := d.activate(d.key()); err != nil {
				t.Error(err)
			}
			d.safe.set(locked)
			d.powerFails()
			if _, err := d.reset(false, false, false); err != nil {
				t.Error(err)
			}
			d.powerFails()
			d.safe.set(well)
			d.pass(time.Minute)
			if _, there := d.safe.holds(d.key()); there || d.view(d.key()).State() != Idle {
				t.Errorf("%v; in the keystore: %v", d.view(d.key()).Status, there)
			}
		}
	})
}

// Without revocation, or when Profit cannot be told, the receipt says so, and the token is gone here all the same.
func TestResetWhenProfitIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.profit.SetUnreachable(true)
		receipt, err := d.reset(true, true, false)
		if err != nil || !receipt.DeletedHere || receipt.DeletedInProfit || receipt.RevokeErr == nil {
			t.Errorf("%+v, %v", receipt, err)
		}
		d.pass(time.Second)
		d.is(d.key(), Requesting, ReasonUnreachable, 1)
		d.profit.SetUnreachable(false)
		d.pass(2 * firstBackOff)
		d.is(d.key(), AwaitingCode, ReasonNew, 2)
	})
}

// An orphan's token can be forgotten before its retention is over. That asks for no code, nor does its return.
func TestResetOfAnOrphan(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.lines[0].absent = true
		d.reconcile()
		if receipt, err := d.reset(true, true, false); err != nil || !receipt.DeletedHere || !receipt.DeletedInProfit {
			t.Errorf("%+v, %v", receipt, err)
		}
		d.lines[0].absent = false
		d.reconcile()
		d.pass(time.Hour)
		d.is(d.key(), Idle, ReasonReset, 1)
	})
}
