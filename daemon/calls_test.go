package daemon

import (
	"strings"
	"testing"

	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

func TestReset(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	jan := payroll("12345.jan")
	active := r.activate(jan)

	receipt, err := r.client.Reset(t.Context(), jan, ipc.ResetRequest{DryRun: true, Enrol: true})
	v.must(err)
	if !receipt.DryRun || !receipt.DeletedHere || receipt.DeletedInProfit || receipt.Before.Fingerprint != active.Fingerprint ||
		receipt.After.State != ipc.Requesting || receipt.After.Message == "" || receipt.After.Fingerprint != "" || !strings.Contains(receipt.LeftInProfit, "12345.jan") {
		t.Errorf("dry: %+v", receipt)
	}
	if receipt, err = r.client.Reset(t.Context(), jan, ipc.ResetRequest{DryRun: true, Revoke: true}); err != nil || receipt.LeftInProfit != "" || receipt.After.State != ipc.Idle {
		t.Errorf("dry, with revoke: %+v, %v", receipt, err)
	}
	if _, err := r.token(jan); err != nil || len(v.profit.Mails("")) != 1 {
		t.Fatalf("a dry run did something: %v, %d mails", err, len(v.profit.Mails("")))
	}

	receipt, err = r.client.Reset(t.Context(), jan, ipc.DefaultReset)
	v.must(err)
	if receipt.DryRun || !receipt.DeletedHere || receipt.DeletedInProfit || receipt.Before.State != ipc.Active || receipt.After.Fingerprint != "" {
		t.Errorf("receipt: %+v", receipt)
	}
	for _, part := range []string{"12345.jan", "issued on", "User tokens", "Payroll desktop"} {
		if !strings.Contains(receipt.LeftInProfit, part) {
			t.Errorf("left in Profit: %q", receipt.LeftInProfit)
		}
	}
	if _, err := r.token(jan); failure(err) == "" {
		t.Errorf("the token is served after the reset")
	}
	r.until(jan, ipc.AwaitingCode)
	again, err := r.client.Reset(t.Context(), jan, ipc.DefaultReset)
	v.must(err)
	if again.DeletedHere || again.LeftInProfit != "" || v.mails("12345.jan") != 2 {
		t.Errorf("once more: %d mails, %+v", v.mails("12345.jan"), again)
	}
	v.must(r.stop())
	r = v.start()
	if entry := r.until(jan, ipc.AwaitingCode); entry.Reason != "reset" || v.mails("12345.jan") != 2 {
		t.Errorf("after a restart: %d mails, %+v", v.mails("12345.jan"), entry)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault   *profittest.Fault
		revoked bool
	}{
		"done":            {nil, true},
		"Profit does not": {&profittest.Fault{Call: "DeleteToken", Answer: profittest.Refusal("Niet toegestaan")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newDevice(t)
			v.write(v.connector("payroll", "description = \"Payroll desktop\"\nsoap_url = \""+v.profit.SOAPURL()+"\"", line("payroll", "12345.jan", self())))
			r := v.start()
			jan := payroll("12345.jan")
			r.activate(jan)
			if test.fault != nil {
				v.profit.Fault(*test.fault)
			}
			receipt, err := r.client.Reset(t.Context(), jan, ipc.ResetRequest{Revoke: true})
			v.must(err)
			if !receipt.DeletedHere || receipt.DeletedInProfit != test.revoked || (receipt.LeftInProfit == "") != test.revoked || receipt.After.State != ipc.Idle {
				t.Errorf("receipt: %+v", receipt)
			}
			if !test.revoked && (!strings.Contains(receipt.LeftInProfit, "Profit did not delete it") || !strings.Contains(receipt.LeftInProfit, "User tokens")) {
				t.Errorf("left in Profit: %q", receipt.LeftInProfit)
			}
			if left := len(v.profit.Tokens()); (left == 0) != test.revoked {
				t.Errorf("Profit lists %d tokens", left)
			}
			if n := v.mails("12345.jan"); n != 1 {
				t.Errorf("%d mails", n)
			}
		})
	}
}

// Orphans can be reset by the helpdesk; each in turn, if there are several of one name.
func TestResetOrphans(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	jan := payroll("12345.jan")
	v.write(v.own("12345.jan"))
	r := v.start()
	r.activate(jan)
	v.keys = v.profit.AddConnector(profittest.Connector{Description: "Payroll desktop"})
	v.write(v.own("12345.jan"))
	v.eventually("the new key is in force", func() bool { return len(r.entriesFor(admin)) == 2 })
	r.activate(jan)
	v.write(v.own("12345.ria"))
	v.eventually("both are orphans, for those who ask too", func() bool {
		return r.status().Entries[ipc.Orphaned] == 2 && r.inForce.Load().find(jan) == nil
	})

	mails := len(v.profit.Mails(""))
	for range 2 {
		receipt, err := r.Reset(t.Context(), admin, jan, ipc.DefaultReset)
		v.must(err)
		if !receipt.DeletedHere || receipt.Before.State != ipc.Orphaned || receipt.After.State != ipc.Orphaned || receipt.LeftInProfit == "" {
			t.Errorf("receipt: %+v", receipt)
		}
	}
	for _, entry := range r.entriesFor(admin) {
		if entry.State == ipc.Orphaned && entry.Fingerprint != "" {
			t.Errorf("it still has a token: %+v", entry)
		}
	}
	if now := len(v.profit.Mails("12345.jan")); now > mails {
		t.Errorf("the reset of an orphan sent a mail")
	}
	_, err := r.Reset(t.Context(), admin, payroll("12345.nobody"), ipc.DefaultReset)
	v.wantFailure(err, ipc.Denied)
}
