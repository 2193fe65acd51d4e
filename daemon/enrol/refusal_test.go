package enrol

import (
	"testing"
	"time"

	"github.com/profitd/profitd/profit/profittest"
)

func (d *device) block(blocked bool) {
	d.profit.UpdateConnector(d.lines[0].connector.APIKey, func(c *profittest.Connector) { c.Blocked = blocked })
}

// Two 401s at least five seconds apart condemn a token that an application reports; then a new code is asked for, in
// the name of who reported it.
func TestRefusedTokenIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.pass(time.Hour)
		d.profit.DeleteToken(before.Token.Secret())
		began := time.Now()
		view, err := d.life.enrol.Reject(t.Context(), d.key(), "jan")
		if err != nil || !view.Token.IsZero() {
			t.Errorf("%+v, %v", view, err)
		}
		if took := time.Since(began); took < refusalsApart || took > 2*refusalsApart {
			t.Errorf("the verdict took %v", took)
		}
		d.pass(time.Second)
		if view := d.is(d.key(), AwaitingCode, ReasonRefusedToken, 2); view.Status.RequestedBy != "jan" {
			t.Errorf("requested by %q", view.Status.RequestedBy)
		}
		if view, err := d.activate(d.key()); err != nil || view.State() != Active || view.Token == before.Token {
			t.Errorf("%+v, %v", view, err)
		}
	})
}

// One 401 alone condemns nothing.
func TestOneRefusalIsNotEnough(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: profittest.Empty(401), Times: 1})
		view, err := d.life.enrol.Reject(t.Context(), d.key(), "jan")
		if err != nil || view.State() != Active || view.Token != before.Token {
			t.Errorf("%+v, %v", view, err)
		}
		d.pass(time.Hour)
		d.is(d.key(), Active, "", 1)
	})
}

// Nor do other failures of Profit condemn a token.
func TestOnlyRefusalsCondemn(t *testing.T) {
	for _, answer := range []*profittest.Answer{profittest.Empty(403), profittest.Empty(404), profittest.Refusal("no"), profittest.HTML(200), profittest.HTML(502)} {
		bubble(t, func(t *testing.T, d *device) {
			d.add("payroll", "jan")
			before := d.enrolled()
			d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: answer})
			view, err := d.life.enrol.Reject(t.Context(), d.key(), "jan")
			if err != nil || view.Token != before.Token {
				t.Errorf("%+v, %v", view, err)
			}
			d.pass(48 * time.Hour)
			d.is(d.key(), Active, "", 1)
		})
	}
}

// The daily verification notices a deleted token without anybody's report.
func TestVerificationNoticesARefusedToken(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.profit.DeleteToken(before.Token.Secret())
		d.pass(verifyEvery + 2*time.Hour)
		if view := d.is(d.key(), AwaitingCode, ReasonRefusedToken, 2); view.Status.RequestedBy != "" {
			t.Errorf("requested by %q", view.Status.RequestedBy)
		}
	})
}

// A refused token stays in the keystore until a new one is active: Profit may take it again, over a restart too.
func TestRefusedTokenIsAcceptedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		d.block(true)
		if _, err := d.life.enrol.Reject(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.pass(time.Second)
		if view := d.is(d.key(), Blocked, ReasonRefusedByProfit, 1); !view.Token.IsZero() {
			t.Error("a refused token is served")
		}
		d.restart()
		d.pass(3 * time.Hour)
		if view := d.is(d.key(), Blocked, ReasonRefusedByProfit, 1); !view.Token.IsZero() {
			t.Error("a refused token is served after a restart")
		}
		d.block(false)
		d.pass(2 * verifyRefused)
		if d.is(d.key(), Active, "", 1).Token != before.Token {
			t.Error("the old token is not served again")
		}
	})
}

// A report on a token that is being verified joins it; within a minute there is no other.
func TestReportsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Delay: time.Second, Times: 1})
		calls := d.profit.Count("ProfitVersion")
		go d.life.enrol.Reject(t.Context(), d.key(), "jan")
		d.pass(time.Millisecond)
		if _, err := d.life.enrol.Reject(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		_, err := d.life.enrol.Reject(t.Context(), d.key(), "jan")
		if kindOf(err) != TooMany {
			t.Errorf("the third report: %v", err)
		}
		if n := d.profit.Count("ProfitVersion") - calls; n != 1 {
			t.Errorf("%d verifications", n)
		}
		d.pass(verifyPause)
		if _, err = d.life.enrol.Reject(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
	})
}

// A verification that began before the report says nothing about it: Profit is asked once more.
func TestReportDuringAVerification(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		d.pass(verifyEvery - time.Minute)
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Delay: time.Minute, Times: 1})
		calls := d.profit.Count("ProfitVersion")
		for d.profit.Count("ProfitVersion") == calls {
			d.pass(time.Second)
		}
		if _, err := d.life.enrol.Reject(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		if n := d.profit.Count("ProfitVersion") - calls; n < 2 {
			t.Errorf("%d verifications", n)
		}
	})
}

// A 401 on the old token, late, does not count for the new one.
func TestLateRefusalMissesTheNewToken(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.enrolled()
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: profittest.Empty(401), Times: 1})
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: profittest.Empty(401), Delay: time.Minute, Times: 1})
		d.profit.Fault(profittest.Fault{Call: "ProfitVersion", Answer: profittest.Empty(401), Times: 1})
		go d.life.enrol.Reject(t.Context(), d.key(), "jan")
		d.pass(10 * time.Second) // the second verification is under way
		view, err := d.activate(d.key())
		if err != nil {
			t.Error(err)
		}
		d.pass(time.Hour)
		if after := d.is(d.key(), Active, "", 2); after.Token != view.Token {
			t.Errorf("serves %v, activated %v", after.Token, view.Token)
		}
	})
}

// A renewal serves the old token until the new one is there.
func TestRenewalKeepsTheOldToken(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		before := d.enrolled()
		if _, err := d.life.enrol.Code(t.Context(), d.key(), "jan"); err != nil {
			t.Error(err)
		}
		if d.is(d.key(), AwaitingCode, ReasonNew, 2).Token != before.Token {
			t.Error("the old token is not served")
		}
		d.restart()
		if d.is(d.key(), AwaitingCode, ReasonNew, 2).Token != before.Token {
			t.Error("the old token is not served after a restart")
		}
		if view, err := d.activate(d.key()); err != nil || view.Token == before.Token || view.State() != Active {
			t.Error(view.State(), err)
		}
	})
}

// A week before its end a token is renewed, once.
func TestExpiringTokenIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.profit.SetBehaviour(profittest.Behaviour{TokenLifetime: 60 * 24 * time.Hour, ExpiryLayout: time.RFC3339})
		before := d.enrolled()
		if before.Status.ExpiresAt.IsZero() {
			t.Fatal("it is not known when the token expires")
		}
		d.pass(52 * 24 * time.Hour)
		d.is(d.key(), Active, "", 1)
		d.pass(3 * 24 * time.Hour)
		if d.is(d.key(), AwaitingCode, ReasonExpiring, 2).Token != before.Token {
			t.Error("the old token is not served")
		}
		if _, err := d.activate(d.key()); err != nil {
			t.Error(err)
		}
		d.pass(10 * 24 * time.Hour)
		d.is(d.key(), Active, "", 2)
	})
}
