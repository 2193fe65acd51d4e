package daemon

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// asked is a token call that is under way.
type asked struct {
	token *ipc.Token
	err   error
}

func (r *running) ask(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, query ipc.TokenQuery) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		token, err := r.Token(ctx, peer, ref, query)
		done <- asked{token, err}
	}()
	return done
}

func (r *running) isWaiting(done <-chan asked, ref ipc.Ref) {
	r.v.Helper()
	r.v.eventually("somebody waits", func() bool { return r.waits(ref) })
	select {
	case got := <-done:
		r.v.Fatalf("it did not wait: %v", got.err)
	default:
	}
}

var caller = person("jan", self())

func TestWait(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	hold := make(chan struct{})
	v.profit.Fault(profittest.Fault{Call: "OtpRequest", Hold: hold, Times: 1})
	v.write(v.own("12345.jan"))
	r := v.start()
	jan := payroll("12345.jan")
	r.until(jan, ipc.Requesting)
	_, err := r.Token(t.Context(), caller, jan, ipc.TokenQuery{})
	v.wantFailure(err, ipc.Pending)

	// A wait that is over, and one that its caller ends, say how the entry stands.
	_, err = r.Token(t.Context(), caller, jan, ipc.TokenQuery{Wait: 10 * time.Millisecond})
	if problem := v.wantFailure(err, ipc.Pending); problem.State != ipc.Requesting {
		t.Errorf("state %q", problem.State)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hungUp := r.ask(ctx, caller, jan, ipc.TokenQuery{Wait: time.Minute})
	r.isWaiting(hungUp, jan)
	begun := time.Now()
	cancel()
	v.wantFailure((<-hungUp).err, ipc.Pending)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("nobody waits for the answer, which came after %s", took)
	}

	// A plain wait ends when a person is needed; one until active goes on.
	plain := r.ask(t.Context(), caller, jan, ipc.TokenQuery{Wait: time.Minute})
	whole := r.ask(t.Context(), caller, payroll(""), ipc.TokenQuery{Wait: time.Minute, UntilActive: true})
	r.isWaiting(plain, jan)
	close(hold)
	v.wantFailure((<-plain).err, ipc.ActivationRequired)
	r.isWaiting(whole, jan)
	r.activate(jan)
	got := <-whole
	v.must(got.err)
	if got.token.Token != v.profit.Tokens()[0].XML {
		t.Errorf("another token than the one that came")
	}
}

// Asking for a token makes Profit send a code, once.
func TestAskingEnrols(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.connector("payroll", "enrol = \"on_request\"", line("payroll", "12345.jan", self())))
	r := v.start()
	jan := payroll("12345.jan")
	if entry := r.until(jan, ipc.Idle); entry.Message == "" {
		t.Errorf("it does not say what it waits for")
	}
	for range 3 {
		_, err := r.token(jan)
		if code := failure(err); code != ipc.Pending && code != ipc.ActivationRequired {
			t.Errorf("asked: %v", err)
		}
	}
	entry := r.until(jan, ipc.AwaitingCode)
	if entry.RequestedBy == "" || v.mails("12345.jan") != 1 {
		t.Errorf("%d mails, requested by %q", v.mails("12345.jan"), entry.RequestedBy)
	}
}

func TestAmbiguousUser(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan", "12345.ria"))
	r := v.start()
	r.activate(payroll("12345.jan"))
	_, err := r.token(payroll(""))
	v.wantFailure(err, ipc.AmbiguousUser)
	if _, err := r.token(payroll("12345.jan")); err != nil {
		t.Errorf("with the user: %v", err)
	}
	_, err = r.token(ipc.Ref{Connector: "stock"})
	v.wantFailure(err, ipc.Denied)
}

// Who loses the right while waiting is denied at once.
func TestRightLostWhileWaiting(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*device) string{
		"the line names another":        func(v *device) string { return v.connector("payroll", "", line("payroll", "12345.jan", "else")) },
		"the line is gone":              func(v *device) string { return v.connector("payroll", "", line("payroll", "12345.els", "els")) },
		"the connector is called other": func(v *device) string { return v.connector("wages", "", line("wages", "12345.jan", "uid:77")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newDevice(t)
			v.write(v.own("12345.jan"))
			r := v.start()
			jan := payroll("12345.jan")
			r.until(jan, ipc.AwaitingCode)
			waiting := make(chan error, 1)
			go func() {
				_, err := r.client.Token(t.Context(), jan, ipc.TokenQuery{Wait: 4 * time.Minute, UntilActive: true})
				waiting <- err
			}()
			v.eventually("somebody waits", func() bool { return r.waits(jan) })
			v.write(after(v))
			select {
			case err := <-waiting:
				v.wantFailure(err, ipc.Denied)
			case <-time.After(patience):
				t.Fatalf("it still waits")
			}
		})
	}
}

// An entry that becomes another one under a waiting caller is asked for as well.
func TestIdentityChangesWhileWaiting(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	on := "enrol = \"on_request\""
	v.write(v.connector("payroll", on, line("payroll", "12345.jan", self())))
	r := v.start()
	jan := payroll("12345.jan")
	waiting := r.ask(t.Context(), caller, jan, ipc.TokenQuery{Wait: time.Minute, UntilActive: true})
	v.code("12345.jan")
	r.isWaiting(waiting, jan)
	v.keys = v.profit.AddConnector(profittest.Connector{Description: "Payroll desktop"})
	v.write(v.connector("payroll", on, line("payroll", "12345.jan", self())))
	r.activate(jan)
	got := <-waiting
	v.must(got.err)
	if tokens := v.profit.Tokens(); len(tokens) != 1 || tokens[0].Connector != v.keys.APIKey || got.token.Token != tokens[0].XML {
		t.Errorf("the token is not that of the new key")
	}
}

// A token is refused by Profit twice, and another one is enrolled; the old one comes back if Profit takes it again.
func TestReject(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan", "12345.ria"))
	r := v.start()
	jan := payroll("12345.jan")
	r.activate(jan)
	r.activate(payroll("12345.ria"))
	v.must(r.stop()) // a new token is verified at once; that must not be taken for an answer to what follows
	r = v.start()
	entry, err := r.client.Reject(t.Context(), jan) // not true
	v.must(err)
	if entry.State != ipc.Active {
		t.Errorf("a false report: %+v", entry)
	}
	_, err = r.client.Reject(t.Context(), jan)
	if problem := v.wantFailure(err, ipc.TooManyRequests); problem.RetryAfter <= 0 || problem.RetryAfter > time.Minute {
		t.Errorf("try again after %s", problem.RetryAfter)
	}
	token, err := r.token(payroll("12345.ria"))
	v.must(err)
	if !v.profit.DeleteToken(token.Token) {
		t.Fatal("Profit knows no such token")
	}
	entry, err = r.client.Reject(t.Context(), payroll("12345.ria"))
	v.must(err)
	if entry.State == ipc.Active || entry.Reason != "refused_token" {
		t.Errorf("a true report: %+v", entry)
	}
	if _, err := r.token(payroll("12345.ria")); failure(err) == "" {
		t.Errorf("the refused token is served")
	}
	second := r.activate(payroll("12345.ria"))
	if second.Fingerprint == "" || second.Fingerprint == entry.Fingerprint {
		t.Errorf("the second token: %+v", second)
	}
}

// What one entry is stuck in keeps no other from its token.
func TestOthersAreServed(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.activate(payroll("12345.jan"))
	hold := make(chan struct{})
	defer close(hold)
	v.profit.Fault(profittest.Fault{Hold: hold}) // Profit hangs, whatever it is asked
	v.write(v.own("12345.jan", "12345.ria", "12345.piet"))
	r.reload()
	r.until(payroll("12345.ria"), ipc.Requesting)
	v.eventually("Profit hangs", func() bool { return v.profit.Count("OtpRequest") >= 3 })
	for i := range 50 {
		begun := time.Now()
		if _, err := r.token(payroll("12345.jan")); err != nil || time.Since(begun) > 5*time.Second {
			t.Fatalf("request %d: %v after %s", i, err, time.Since(begun))
		}
	}
	if _, err := r.client.Entries(t.Context()); err != nil {
		t.Errorf("the list: %v", err)
	}
	v.write(v.own("12345.jan", "12345.ria"))
	r.reload() // nor does a reload wait
}

// Ways in which Profit does not answer become errors that say when to try again.
func TestErrorsOfProfit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault profittest.Fault
		code  ipc.ErrorCode
		state ipc.State
	}{
		"wrong code":  {profittest.Fault{Call: "none"}, ipc.InvalidCode, ipc.AwaitingCode},
		"maintenance": {profittest.Fault{Call: "OtpValidation", Answer: profittest.Maintenance(90 * time.Second)}, ipc.ProfitUnavailable, ipc.AwaitingCode},
		"no answer":   {profittest.Fault{Call: "OtpValidation", Cut: profittest.CutAfter}, ipc.ProfitUnavailable, ipc.Requesting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newDevice(t)
			v.write(v.own("12345.jan"))
			r := v.start()
			jan := payroll("12345.jan")
			r.until(jan, ipc.AwaitingCode)
			v.profit.Fault(test.fault)
			code, _ := ipc.ParseActivationCode("00000001")
			_, err := r.client.Activate(t.Context(), jan, code)
			problem := v.wantFailure(err, test.code)
			if problem.State != test.state {
				t.Errorf("state %q", problem.State)
			}
			if wait := problem.RetryAfter; (wait > 0) != (test.code == ipc.ProfitUnavailable) || name == "maintenance" && wait < 80*time.Second {
				t.Errorf("try again after %s", wait)
			}
			entry, _ := r.entry(jan)
			if name == "wrong code" && entry.Attempts != 1 {
				t.Errorf("attempts: %d", entry.Attempts)
			}
		})
	}
	t.Run("blocked", func(t *testing.T) {
		t.Parallel()
		v := newDevice(t)
		v.profit.Fault(profittest.Fault{Call: "OtpRequest", Answer: profittest.Refusal("App connector is geblokkeerd")})
		v.write(v.own("12345.jan"))
		r := v.start()
		r.until(payroll("12345.jan"), ipc.Blocked)
		_, err := r.token(payroll(""))
		problem := v.wantFailure(err, ipc.BlockedByProfit)
		if problem.Reason != "refused_by_profit" {
			t.Errorf("reason %q", problem.Reason)
		}
		code, _ := ipc.ParseActivationCode("00000001")
		_, err = r.client.Activate(t.Context(), payroll("12345.jan"), code)
		v.wantFailure(err, ipc.BlockedByProfit)
	})
	t.Run("too many codes", func(t *testing.T) {
		t.Parallel()
		v := newDevice(t)
		v.write(v.own("12345.jan"))
		r := v.start()
		r.until(payroll("12345.jan"), ipc.AwaitingCode)
		_, err := r.client.Code(t.Context(), payroll("12345.jan"))
		v.must(err)
		if entry := r.until(payroll("12345.jan"), ipc.AwaitingCode); entry.RequestedBy == "" {
			t.Errorf("after the second mail: %+v", entry)
		}
		_, err = r.client.Code(t.Context(), payroll("12345.jan"))
		problem := v.wantFailure(err, ipc.TooManyRequests)
		if problem.RetryAfter <= 0 || problem.RetryAfter > 10*time.Second || v.mails("12345.jan") != 2 {
			t.Errorf("try again after %s; %d mails", problem.RetryAfter, v.mails("12345.jan"))
		}
	})
	t.Run("nothing awaited", func(t *testing.T) {
		t.Parallel()
		v := newDevice(t)
		v.profit.SetUnreachable(true)
		v.write(v.own("12345.jan"))
		r := v.start()
		v.eventually("the reason is known", func() bool {
			entry, _ := r.entry(payroll("12345.jan"))
			return entry.Reason == "unreachable" && entry.NextAttemptAt != nil
		})
		code, _ := ipc.ParseActivationCode("00000001")
		_, err := r.client.Activate(t.Context(), payroll("12345.jan"), code)
		if problem := v.wantFailure(err, ipc.Pending); problem.State != ipc.Requesting || problem.Reason != "unreachable" {
			t.Errorf("problem: %+v", problem)
		}
	})
}

// Many callers at once, over a few entries, while the configuration is reloaded.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan", "12345.ria"))
	r := v.start()
	r.activate(payroll("12345.jan"))
	r.activate(payroll("12345.ria"))
	failed := make(chan error, 8)
	for i := range 8 {
		go func() {
			user := []string{"12345.jan", "12345.ria"}[i%2]
			var err error
			for range 100 {
				var token *ipc.Token
				if token, err = r.Token(t.Context(), caller, payroll(user), ipc.TokenQuery{}); err != nil {
					break
				}
				if token.User != user {
					err = fmt.Errorf("%s got the token of %s", user, token.User)
					break
				}
				r.entriesFor(admin)
			}
			failed <- err
		}()
	}
	for n := range 5 {
		v.write(v.own("12345.jan", "12345.ria"), fmt.Sprintf("# %d\n", n))
		r.reload()
	}
	for range 8 {
		v.must(<-failed)
	}
}
