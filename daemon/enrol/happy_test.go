package enrol

import (
	"testing"
	"time"
)

// A new user appears in the configuration: Profit mails a code, the person enters it, the token is served and lies in
// the keystore.
func TestNewEntryIsEnrolled(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.start()
		view := d.is(d.key(), AwaitingCode, ReasonNew, 1)
		if view.Status.Mail != "sent" || view.Status.RequestedBy != "" || view.Status.RequestedAt.IsZero() {
			t.Errorf("the mail is %+v", view.Status)
		}

		d.pass(time.Hour)
		view, err := d.activate(d.key())
		if err != nil || view.State() != Active || view.Token.IsZero() || view.Status.ActivatedBy != "jan" {
			t.Fatalf("activation: %+v, %v", view.Status, err)
		}
		item, there := d.safe.holds(d.key())
		if !there || string(item.Secret) != view.Token.Secret() || item.Label != "payroll, jan" {
			t.Errorf("the keystore holds %v", item)
		}
		if view.Status.Fingerprint != view.Token.Fingerprint() {
			t.Errorf("fingerprint %s of token %v", view.Status.Fingerprint, view.Token)
		}

		d.restart()
		if after := d.is(d.key(), Active, "", 1); after.Token != view.Token {
			t.Errorf("after a restart %v is served", after.Token)
		}
		d.check()
	})
}
