package enrol

import (
	"context"
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

// Whatever the state, a restart and the hour after it send no mail.
func TestRestartSendsNoMail(t *testing.T) {
	for _, c := range []struct {
		name   string
		bring  func(d *device)
		state  State // after the restart
		reason string
	}{
		{"idle", func(d *device) { d.lines[0].onRequest = true; d.start() }, Idle, ReasonNew},
		{"idle after a reset", func(d *device) {
			d.start()
			if _, err := d.life.enrol.Reset(context.Background(), d.key(), false, false, false, "ria"); err != nil {
				d.t.Error(err)
			}
		}, Idle, ReasonReset},
		{"requesting, put off by Profit", func(d *device) {
			d.profit.Fault(profittest.Fault{Answer: profittest.Maintenance(2 * time.Hour), Times: 1})
			d.start()
		}, Requesting, ReasonMaintenance},
		{"awaiting a code", func(d *device) { d.start() }, AwaitingCode, ReasonNew},
		{"active", func(d *device) { d.enrolled() }, Active, ""},
		{"blocked", func(d *device) {
			d.profit.Fault(profittest.Fault{Answer: profittest.Empty(401), Times: 1})
			d.start()
		}, Blocked, ReasonWrongKey},
		{"orphaned", func(d *device) {
			d.enrolled()
			d.lines[0].absent = true
			d.reconcile()
		}, Orphaned, ""},
		{"renewing", func(d *device) {
			d.enrolled()
			if _, err := d.life.enrol.Code(context.Background(), d.key(), "jan"); err != nil {
				d.t.Error(err)
			}
		}, AwaitingCode, ReasonNew},
	} {
		for _, end := range []struct {
			name    string
			restart func(*device)
		}{{"restart", (*device).restart}, {"power failure", (*device).powerFails}} {
			t.Run(c.name+", "+end.name, func(t *testing.T) {
				bubble(t, func(t *testing.T, d *device) {
					d.add("payroll", "jan")
					c.bring(d)
					mails, token := d.mails(d.key()), d.view(d.key()).Token
					end.restart(d)
					d.pass(time.Hour)
					if view := d.is(d.key(), c.state, c.reason, mails); view.Token != token {
						t.Errorf("serves %v after the restart, %v before", view.Token, token)
					}
				})
			})
		}
	}
}

// The power fails while Profit is asked for a code: the mail may have gone out, so no second one is sent; the code in
// it works.
func TestPowerFailureWhileAskingForACode(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.profit.Fault(profittest.Fault{Call: "OtpRequest", Delay: time.Second, Times: 1})
		d.start()
		d.powerFails()
		d.pass(time.Hour)
		if view := d.is(d.key(), AwaitingCode, ReasonPerhapsMailed, 1); view.Status.Mail != "perhaps" {
			t.Errorf("mail %q", view.Status.Mail)
		}
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Errorf("the mailed code does not work: %v", err)
		}
	})
}

// The power fails while a code is tried: it may be spent, and only a person can tell. A restart sends no mail for it.
func TestPowerFailureWhileACodeIsTried(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: time.Minute, Times: 1})
		ctx, hangUp := context.WithTimeout(context.Background(), time.Second)
		defer hangUp()
		if _, err := d.life.enrol.Activate(ctx, d.key(), profit.NewSecret(d.code(d.key())), "jan"); err != context.DeadlineExceeded {
			t.Errorf("who hangs up gets %v", err)
		}
		d.is(d.key(), Validating, ReasonNew, 1)
		d.powerFails()
		d.pass(2 * time.Hour)
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		if _, err := d.activate(d.key()); kindOf(err) != WrongCode {
			t.Errorf("the spent code: %v", err)
		}
		if _, err := d.life.enrol.Code(context.Background(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Errorf("the new code does not work: %v", err)
		}
	})
}

// The power fails when the keystore has taken the token and the record does not say so yet: the token counts.
func TestPowerFailureAfterTheTokenIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		// probe, probed, code leaves, token comes, put, taken
		d.powerFailsAfter(6)
		_, _ = d.activate(d.key())
		item, there := d.safe.holds(d.key())
		if !there {
			t.Fatal("the token is not in the keystore")
		}
		d.powerFails()
		if view := d.is(d.key(), Active, "", 1); view.Token.Secret() != string(item.Secret) {
			t.Errorf("%v is served", view.Token)
		}
	})
}

// Who hangs up while the code is tried gets the token all the same: a code that was sent is followed to its end.
func TestHangingUpSpoilsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: time.Minute, Times: 1})
		ctx, hangUp := context.WithTimeout(context.Background(), time.Second)
		defer hangUp()
		_, _ = d.life.enrol.Activate(ctx, d.key(), profit.NewSecret(d.code(d.key())), "jan")
		d.pass(2 * time.Minute)
		if d.is(d.key(), Active, "", 1).Token.IsZero() {
			t.Error("no token")
		}
	})
}

// An orderly stop waits for the code that is being tried, and stores the token that comes of it.
func TestStopKeepsTheTokenThatIsComing(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Delay: 5 * time.Second, Times: 1})
		e, code := d.life.enrol, profit.NewSecret(d.code(d.key()))
		go e.Activate(context.Background(), d.key(), code, "jan")
		d.pass(time.Second)
		d.restart()
		if d.is(d.key(), Active, "", 1).Token.IsZero() {
			t.Error("no token")
		}
	})
}

// A stop tries once more to store what the keystore has not taken.
func TestStopStoresOnceMore(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(fickle)
		if view, err := d.activate(d.key()); err != nil || view.State() != Storing {
			t.Fatal(view.State(), err)
		}
		d.safe.set(well)
		d.restart()
		d.is(d.key(), Active, "", 1)
	})
}

// A stop that has no patience left still lets the keystore take what it is taking.
func TestStopWaitsForTheKeystore(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.safe.set(slow)
		go d.activate(d.key())
		d.pass(4 * time.Second) // the keystore is storing
		d.is(d.key(), Storing, "", 1)
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.life.enrol.Close(impatient); err != nil {
			t.Error(err)
		}
		if _, there := d.safe.holds(d.key()); !there {
			t.Error("the token is lost")
		}
	})
}
