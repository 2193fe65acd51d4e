package daemon

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// While the keystore hangs over one entry, all others' tokens are served, and everybody gets an answer.
func TestKeystoreHangs(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan", "12345.piet"))
	r := v.start()
	jan, ria, piet := payroll("12345.jan"), payroll("12345.ria"), payroll("12345.piet")
	r.activate(jan)
	code := v.code("12345.piet")
	r.until(piet, ipc.AwaitingCode)

	// Where the record of the next entry would lie there is a pipe to which nobody writes.
	connector := r.inForce.Load().connectors["payroll"].Connector
	record := v.path("state/keystore/" + config.Identity(connector, "12345.ria") + ".sealed")
	v.must(unix.Mkfifo(record, 0o600))
	release := func() { // a writer that comes and goes at once lets the one that hangs read to the end
		if pipe, err := os.OpenFile(record, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			pipe.Close()
		}
	}
	defer release()
	v.write(v.own("12345.jan", "12345.ria", "12345.piet"))
	v.eventually("the keystore hangs", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // longer than a disk that is merely slow
		defer cancel()
		return r.keystore.Probe(ctx) != nil
	})
	for i := range 50 {
		begun := time.Now()
		if _, err := r.token(jan); err != nil || time.Since(begun) > 5*time.Second {
			t.Fatalf("request %d: %v after %s", i, err, time.Since(begun))
		}
	}
	begun := time.Now()
	status, err := r.client.Status(t.Context())
	v.must(err)
	if status.Keystore.Healthy || status.Keystore.Detail == "" || time.Since(begun) > 5*time.Second {
		t.Errorf("after %s the status says %+v", time.Since(begun), status.Keystore)
	}
	_, err = r.client.Activate(t.Context(), piet, code)
	if problem := v.wantFailure(err, ipc.KeystoreUnavailable); problem.RetryAfter <= 0 || problem.State != ipc.AwaitingCode {
		t.Errorf("the code: %+v", problem)
	}
	if v.profit.Count("OtpValidation") != 1 {
		t.Errorf("a code was spent that no token could have come of")
	}
	v.eventually("the entry is in force", func() bool { _, ok := r.entry(ria); return ok && r.inForce.Load().find(ria) != nil })
	_, err = r.token(ria)
	if problem := v.wantFailure(err, ipc.KeystoreUnavailable); problem.RetryAfter <= 0 {
		t.Errorf("the entry that hangs: %+v", problem)
	}
	if v.mails("12345.ria") != 0 {
		t.Errorf("a mail was sent for what the keystore may hold")
	}
	release()
	v.eventually("the code is taken", func() bool {
		_, err := r.client.Activate(t.Context(), piet, code)
		return err == nil
	})
}

// A Profit that hangs over one entry does not keep the service from stopping in time.
func TestStopWhileProfitHangs(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.profit.Fault(profittest.Fault{Hold: make(chan struct{})})
	v.write(v.own("12345.jan"))
	r := v.start(func(o *Options) { o.StopTimeout = 300 * time.Millisecond })
	v.eventually("Profit is asked", func() bool { return v.profit.Count("OtpRequest") == 1 })
	begun := time.Now()
	_ = r.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	v.profit.ClearFaults()
	r = v.start()
	if entry := r.until(payroll("12345.jan"), ipc.AwaitingCode); entry.Mail != "perhaps" || v.profit.Count("OtpRequest") != 1 {
		t.Errorf("after the restart: %+v", entry)
	}
}
