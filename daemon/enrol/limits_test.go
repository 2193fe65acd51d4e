package enrol

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/profitd/profitd/profit/profittest"
)

// An on_request entry waits for its owner, whose asking again repeats nothing.
func TestOnRequest(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.start()
		d.pass(48 * time.Hour)
		d.is(d.key(), Idle, ReasonNew, 0)
		for range 3 {
			if _, err := d.life.enrol.Ask(d.key(), "jan"); err != nil {
				t.Error(err)
			}
			d.pass(time.Minute)
			if view := d.is(d.key(), AwaitingCode, ReasonNew, 1); view.Status.RequestedBy != "jan" {
				t.Errorf("requested by %q", view.Status.RequestedBy)
			}
		}
	})
}

// An entry that becomes at_once is enrolled by itself, if it never was.
func TestOnRequestBecomesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.start()
		d.lines[0].onRequest = false
		d.reconcile()
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
	})
}

// A fleet's mails are spread; who asks for the token ends the wait.
func TestSpread(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.policy.Spread = 10 * time.Hour
		for i := range 20 {
			d.add("payroll", fmt.Sprint("user", i))
		}
		d.start()
		d.pass(time.Minute)
		if n := len(d.profit.Mails("")); n > 5 {
			t.Errorf("%d mails in the first minute", n)
		}
		for _, line := range d.lines {
			if d.mails(line.key) > 0 {
				continue
			}
			d.restart() // does not draw lots again
			d.pass(time.Second)
			if _, err := d.life.enrol.Ask(line.key, "jan"); err != nil {
				t.Error(err)
			}
			d.pass(time.Second)
			d.is(line.key, AwaitingCode, ReasonNew, 1)
			break
		}
		d.pass(10 * time.Hour)
		for _, line := range d.lines {
			d.is(line.key, AwaitingCode, ReasonNew, 1)
		}
	})
}

// Codes that are asked for: one in ten seconds, ten an hour.
func TestAskedMailsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		mails := 1
		for d.pass(time.Second); time.Since(d.profit.Mails("")[0].At) < time.Hour-time.Second; d.pass(5 * time.Second) {
			switch _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); kindOf(err) {
			case -1:
				mails++
			case TooMany:
				if failure := (*Error)(nil); !errors.As(err, &failure) || failure.RetryAfter <= 0 || failure.View == nil {
					t.Errorf("%+v", failure)
				}
			default:
				t.Fatal(err)
			}
		}
		d.is(d.key(), AwaitingCode, ReasonNew, mails)
		if mails != 1+askedPerHour {
			t.Errorf("%d mails in an hour", mails)
		}
	})
}

// A mail that was asked for counts from when it goes out at last.
func TestAskedMailCountsWhenItGoesOut(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.profit.SetUnreachable(true)
		d.start()
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.profit.SetUnreachable(false)
		d.pass(firstBackOff)
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); kindOf(err) != TooMany {
			t.Errorf("the next one: %v", err)
		}
	})
}

// One person with many applications gets five mails an hour, and the rest later.
func TestAutomaticMailsPerUser(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		for i := range 12 {
			d.add(fmt.Sprint("application", i), "jan")
		}
		d.start()
		for hour := range 3 {
			d.pass(time.Minute)
			if n := len(d.profit.Mails("jan")); n != min(12, 5*(hour+1)) {
				t.Errorf("%d mails in hour %d", n, hour)
			}
			d.restart()
			d.pass(59 * time.Minute)
		}
		for _, line := range d.lines {
			d.is(line.key, AwaitingCode, ReasonNew, 1)
		}
	})
}

// Automatic mails of one identity are an hour apart: a code whose answer is lost is followed by a new one, the next
// lost answer by one an hour later.
func TestSpentCodes(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Call: "OtpValidation", Cut: profittest.CutAfter, Times: 1})
		_, err := d.activate(d.key())
		if kindOf(err) != ProfitUnavailable {
			t.Errorf("activation: %v", err)
		}
		view := d.is(d.key(), Requesting, ReasonNew, 1)
		if at := view.Status.NextAttemptAt; time.Until(at) != time.Hour {
			t.Errorf("next attempt in %v", time.Until(at))
		}
		d.pass(time.Hour)
		d.is(d.key(), AwaitingCode, ReasonNew, 2)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// What each answer of Profit to a request for a code means.
func TestAnswersToARequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  profittest.Fault
		state  State
		reason string
		mails  int
	}{
		{"lost before the work", profittest.Fault{Cut: profittest.CutBefore}, AwaitingCode, ReasonPerhapsMailed, 0},
		{"lost after the work", profittest.Fault{Cut: profittest.CutAfter}, AwaitingCode, ReasonPerhapsMailed, 1},
		{"too late", profittest.Fault{Delay: 3 * time.Minute}, AwaitingCode, ReasonPerhapsMailed, 1},
		{"400", profittest.Fault{Answer: profittest.Empty(400)}, Blocked, ReasonRefusedByProfit, 0},
		{"401", profittest.Fault{Answer: profittest.Empty(401)}, Blocked, ReasonWrongKey, 0},
		{"403", profittest.Fault{Answer: profittest.Empty(403)}, Requesting, ReasonIPRestricted, 0},
		{"404", profittest.Fault{Answer: profittest.Empty(404)}, Blocked, ReasonRefusedByProfit, 0},
		{"500 with a message", profittest.Fault{Answer: profittest.Refusal("no e-mail address")}, Blocked, ReasonRefusedByProfit, 0},
		{"500 without", profittest.Fault{Answer: profittest.Empty(500)}, Requesting, ReasonMaintenance, 0},
		{"502", profittest.Fault{Answer: profittest.HTML(502)}, AwaitingCode, ReasonPerhapsMailed, 0},
		{"503", profittest.Fault{Answer: profittest.Empty(503)}, Requesting, ReasonMaintenance, 0},
		{"redirect", profittest.Fault{Answer: profittest.Redirect("https://elsewhere.example")}, Blocked, ReasonRefusedByProfit, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *device) {
				d.add("payroll", "jan")
				c.fault.Times = 1
				d.profit.Fault(c.fault)
				d.start()
				if c.fault.Delay > 0 {
					d.pass(4 * time.Minute)
				}
				d.is(d.key(), c.state, c.reason, c.mails)
				d.check()
			})
		})
	}
}

// What each answer of Profit to a code means.
func TestAnswersToACode(t *testing.T) {
	for _, c := range []struct {
		name     string
		fault    profittest.Fault
		kind     Kind
		state    State
		attempts int
	}{
		{"400", profittest.Fault{Answer: profittest.Empty(400)}, WrongCode, AwaitingCode, 1},
		{"401", profittest.Fault{Answer: profittest.Empty(401)}, WrongCode, AwaitingCode, 1},
		{"500 with a message", profittest.Fault{Answer: profittest.Refusal("no")}, WrongCode, AwaitingCode, 1},
		{"403", profittest.Fault{Answer: profittest.Empty(403)}, ProfitUnavailable, AwaitingCode, 0},
		{"503", profittest.Fault{Answer: profittest.Empty(503)}, ProfitUnavailable, AwaitingCode, 0},
		{"502", profittest.Fault{Answer: profittest.HTML(502), Worked: true}, ProfitUnavailable, Requesting, 0},
		{"half an answer", profittest.Fault{Cut: profittest.CutBody}, ProfitUnavailable, Requesting, 0},
		{"HTML", profittest.Fault{Answer: profittest.HTML(200), Worked: true}, ProfitUnavailable, Requesting, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *device) {
				d.add("payroll", "jan")
				d.start()
				c.fault.Times = 1
				d.profit.Fault(c.fault)
				_, err := d.activate(d.key())
				view := d.is(d.key(), c.state, ReasonNew, 1)
				if kindOf(err) != c.kind || view.Status.Attempts != c.attempts {
					t.Errorf("%v, %d attempts", err, view.Status.Attempts)
				}
			})
		})
	}
}

// A code is not spent while Profit cannot be reached.
func TestCodeWithoutANetwork(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.SetUnreachable(true)
		if _, err := d.activate(d.key()); kindOf(err) != ProfitUnavailable {
			t.Error(err)
		}
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		d.profit.SetUnreachable(false)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// Without a connection the attempts get rarer, up to one an hour; one that succeeds ends that. Asking for the token
// makes no difference, a person who asks for a code does.
func TestBackOff(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.profit.SetUnreachable(true)
		d.start()
		wait := firstBackOff
		for range 10 {
			next := d.is(d.key(), Requesting, ReasonUnreachable, 0).Status.NextAttemptAt
			if got := time.Until(next); got != wait {
				t.Errorf("the next attempt is in %v, want %v", got, wait)
			}
			if _, err := d.life.enrol.Ask(d.key(), "jan"); err != nil {
				t.Error(err)
			}
			d.restart()
			if got := d.view(d.key()).Status.NextAttemptAt; !got.Equal(next) {
				t.Errorf("asking or a restart moves it from %v to %v", next, got)
			}
			d.pass(wait)
			wait = min(2*wait, longestBackOff)
		}
		d.profit.SetUnreachable(false)
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
	})
}

// A wait that Profit tells is kept by every call to the environment, over a restart, and no longer than a day.
func TestWaitsAreKept(t *testing.T) {
	for told, kept := range map[time.Duration]time.Duration{2 * time.Hour: 2 * time.Hour, 1000 * time.Hour: 24 * time.Hour} {
		bubble(t, func(t *testing.T, d *device) {
			d.add("payroll", "jan")
			d.enrolled()
			d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: profittest.Maintenance(told), Times: 1})
			if _, err := d.life.enrol.Reject(t.Context(), d.key(), "jan"); err != nil {
				t.Error(err)
			}
			began := time.Now()
			d.add("leave", "piet")
			d.reconcile()
			d.restart()
			if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); kindOf(err) != ProfitUnavailable {
				t.Errorf("who asks for a code gets %v", err)
			}
			calls := len(d.profit.Calls())
			d.pass(time.Until(began.Add(kept - time.Second)))
			if n := len(d.profit.Calls()); n != calls {
				t.Errorf("%d calls before the time", n-calls)
			}
			d.pass(2 * time.Second)
			d.is(d.lines[1].key, AwaitingCode, ReasonNew, 1)
		})
	}
}

// Nor is a code tried before the time that Profit has named.
func TestCodeWaitsForProfit(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		d.profit.Fault(profittest.Fault{Answer: profittest.Maintenance(time.Hour), Times: 1})
		for range 2 {
			_, err := d.activate(d.key())
			if failure := (*Error)(nil); !errors.As(err, &failure) || failure.Kind != ProfitUnavailable || failure.RetryAfter != time.Hour {
				t.Errorf("%+v", err)
			}
		}
		if n := d.profit.Count("OtpValidation"); n != 1 {
			t.Errorf("%d codes were tried", n)
		}
		d.pass(time.Hour)
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}

// A refusal for good is tried again after a day, by a person, or when a setting changes.
func TestBlocked(t *testing.T) {
	for name, unblock := range map[string]func(d *device){
		"a day":      func(d *device) { d.pass(blockedRetry) },
		"a person":   func(d *device) { _, _ = d.life.enrol.Code(d.t.Context(), d.key(), "jan") },
		"other keys": func(d *device) { d.lines[0].revision = "2"; d.reconcile() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *device) {
				d.add("payroll", "jan")
				d.profit.Fault(profittest.Fault{Answer: profittest.Refusal("The user has no e-mail address"), Times: 1})
				d.start()
				d.pass(time.Minute)
				view := d.is(d.key(), Blocked, ReasonRefusedByProfit, 0)
				if view.Status.LogReference == "" || view.Status.Message == "" {
					t.Errorf("%+v", view.Status)
				}
				d.reconcile()
				d.restart()
				d.is(d.key(), Blocked, ReasonRefusedByProfit, 0)
				unblock(d)
				d.is(d.key(), AwaitingCode, ReasonNew, 1)
			})
		})
	}
}

// At most eight calls at a time go to an environment, and none that waits its turn is forgotten, also when Profit
// puts everybody off.
func TestEightCallsAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		for i := range 100 {
			d.add("payroll", fmt.Sprint("user", i))
		}
		d.profit.Fault(profittest.Fault{Delay: time.Second, Answer: profittest.Maintenance(time.Hour), Times: 8})
		d.profit.Fault(profittest.Fault{Delay: time.Second})
		d.start()
		d.pass(30 * time.Minute)
		if n := len(d.profit.Calls()); n != callsAtOnce {
			t.Errorf("%d calls", n)
		}
		d.check()
		d.pass(time.Hour)
		for _, line := range d.lines {
			d.is(line.key, AwaitingCode, ReasonNew, 1)
		}
		if n := d.profit.MaxParallel(); n != callsAtOnce {
			t.Errorf("%d calls in parallel", n)
		}
	})
}
