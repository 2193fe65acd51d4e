package daemon

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// The main story, over the socket: a code by mail becomes a token, with which Profit answers.
func TestStory(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.connector("payroll", "description = \"Payroll desktop\"\nintegration_id = \"12345_67\"", line("payroll", "12345.jan", self())))
	r := v.start()
	ctx := t.Context()
	jan := payroll("12345.jan")

	code := v.code("12345.jan") // nobody asked: the configuration gained a user
	r.until(jan, ipc.AwaitingCode)
	_, err := r.token(jan)
	problem := v.wantFailure(err, ipc.ActivationRequired)
	if problem.State != ipc.AwaitingCode || problem.Reason != "new" {
		t.Errorf("the error says %q because of %q", problem.State, problem.Reason)
	}
	entry, err := r.client.Activate(ctx, jan, code)
	v.must(err)
	if entry.State != ipc.Active || entry.Fingerprint == "" || entry.ActivatedBy == "" {
		t.Errorf("after the code: %+v", entry)
	}
	token, err := r.token(payroll("")) // the caller's one user
	v.must(err)
	if got := v.profit.Tokens()[0]; token.Token != got.XML || token.Headers["Authorization"] != got.Authorization() {
		t.Errorf("the token is not the one that Profit issued")
	}
	if token.Headers["IntegrationId"] != "12345_67" || token.Device != "LAPTOP-0123" || token.BaseURL != v.profit.URL() ||
		token.Connector != "payroll" || token.User != "12345.jan" || token.Description != "Payroll desktop" || token.IssuedAt == nil {
		t.Errorf("token: %+v", token)
	}
	request, _ := http.NewRequestWithContext(ctx, "GET", "https://profit.example/ProfitRestServices/ProfitVersion", nil)
	for name, value := range token.Headers {
		request.Header.Set(name, value)
	}
	response, err := v.profit.Transport().RoundTrip(request)
	v.must(err)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("Profit answers the application with %s", response.Status)
	}
	if _, err := r.client.Activate(ctx, jan, code); err != nil {
		t.Errorf("a code on an active entry: %v", err)
	}

	v.must(r.stop())
	r = v.start()
	again, err := r.token(jan)
	v.must(err)
	if again.Token != token.Token || v.mails("12345.jan") != 1 {
		t.Errorf("a restart changed the token, or sent a mail (%d)", v.mails("12345.jan"))
	}
	status, err := r.client.Status(ctx)
	v.must(err)
	if status.Version != "1.2.3" || status.Entries[ipc.Active] != 1 || status.Configuration.Refused || status.Configuration.SHA256 == "" ||
		len(status.Configuration.Files) != 2 || status.Keystore.Backend != "sealed" || !status.Keystore.Healthy {
		t.Errorf("status: %+v", status)
	}
	if summary := r.Summary(); summary != "1 active" {
		t.Errorf("summary: %q", summary)
	}
	for _, secret := range []string{v.keys.APIKey, v.keys.EnvironmentKey, code.Reveal(), token.Token} {
		if strings.Contains(v.log.String(), secret) {
			t.Errorf("the log has a secret in it")
		}
	}
	v.must(r.Answers(ctx))
}

// What runs when the service stops finishes; nothing new begins.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	jan := payroll("12345.jan")
	code := v.code("12345.jan")
	r.until(jan, ipc.AwaitingCode)
	hold := make(chan struct{})
	v.profit.Fault(profittest.Fault{Call: "OtpValidation", Hold: hold})
	activated := make(chan error, 1)
	go func() {
		_, err := r.client.Activate(context.WithoutCancel(t.Context()), jan, code)
		activated <- err
	}()
	v.eventually("Profit is asked", func() bool { return v.profit.Count("OtpValidation") == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	other := ipc.NewClient(ipc.ClientOptions{Socket: v.path("s")})
	defer other.Close()
	v.eventually("new requests are refused", func() bool {
		_, err := other.Whoami(t.Context())
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("it did not wait for the activation: %v", err)
	default:
	}
	close(hold)
	v.must(<-activated)
	v.must(<-stopped)
	r = v.start()
	if _, err := r.token(jan); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if v.mails("12345.jan") != 1 {
		t.Errorf("%d mails", v.mails("12345.jan"))
	}
}

// What does not finish is cut off when the deadline is over, and the code can be entered again.
func TestStopDeadline(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start(func(o *Options) { o.StopTimeout = 200 * time.Millisecond })
	jan := payroll("12345.jan")
	code := v.code("12345.jan")
	r.until(jan, ipc.AwaitingCode)
	v.profit.Fault(profittest.Fault{Call: "OtpValidation", Hold: make(chan struct{}), Times: 1})
	go r.client.Activate(context.WithoutCancel(t.Context()), jan, code)
	v.eventually("Profit is asked", func() bool { return v.profit.Count("OtpValidation") == 1 })
	begun := time.Now()
	_ = r.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	r = v.start()
	if entry := r.until(jan, ipc.AwaitingCode); entry.Message == "" {
		t.Errorf("it does not say what happened: %+v", entry)
	}
	if _, err := r.client.Activate(t.Context(), jan, code); err != nil {
		t.Errorf("the code once more: %v", err)
	}
	if v.mails("12345.jan") != 1 {
		t.Errorf("%d mails", v.mails("12345.jan"))
	}
}

// A wait ends at once when the service stops.
func TestStopEndsWaits(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.until(payroll("12345.jan"), ipc.AwaitingCode)
	waited := make(chan error, 1)
	go func() {
		_, err := r.client.Token(context.WithoutCancel(t.Context()), payroll(""), ipc.TokenQuery{Wait: 4 * time.Minute, UntilActive: true})
		waited <- err
	}()
	v.eventually("somebody waits", func() bool { return r.waits(payroll("12345.jan")) })
	begun := time.Now()
	v.must(r.stop())
	v.wantFailure(<-waited, ipc.ActivationRequired)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// waits tells whether somebody waits for a change of the entry.
func (r *running) waits(ref ipc.Ref) bool {
	x := r.inForce.Load().find(ref)
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	return x != nil && r.hub.waiters[x.key] != nil
}

func TestTwoServices(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.until(payroll("12345.jan"), ipc.AwaitingCode)

	same := v.options()
	same.StateDir = v.path("state2")
	_, err := New(t.Context(), same)
	if err == nil || !strings.Contains(err.Error(), "another profitd") {
		t.Errorf("on the same socket: %v", err)
	}
	same = v.options()
	same.Socket = v.path("s2")
	_, err = New(t.Context(), same)
	if err == nil || !strings.Contains(err.Error(), "another profitd") || !strings.Contains(err.Error(), v.path("state")) {
		t.Errorf("on the same state directory: %v", err)
	}
	if _, err := os.Lstat(v.path("s2")); err == nil {
		t.Errorf("its socket is left behind")
	}
	if _, err := r.client.Whoami(t.Context()); err != nil {
		t.Errorf("the first one suffers: %v", err)
	}
	v.must(r.stop())
	if _, err := os.Lstat(v.path("s")); err == nil {
		t.Errorf("the socket is left behind")
	}
	v.must(v.start().stop()) // both are free again
}

// A state directory that cannot be made is said plainly.
func TestNoStateDirectory(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	v.must(os.WriteFile(v.path("state"), nil, 0o600))
	_, err := New(t.Context(), v.options())
	if err == nil || !strings.Contains(err.Error(), "state directory") {
		t.Errorf("error: %v", err)
	}
}

// Whoever wants to know is told each time that the summary may have changed.
func TestChanged(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	told := make(chan string, 100)
	r := v.start(func(o *Options) { o.Changed = func(summary string) { told <- summary } })
	await := func(want string) {
		t.Helper()
		deadline := time.After(patience)
		for {
			select {
			case summary := <-told:
				if summary == want {
					return
				}
			case <-deadline:
				t.Fatalf("never told: %q", want)
			}
		}
	}
	await("1 awaiting_code")
	r.activate(payroll("12345.jan"))
	await("1 active")
	v.writeText("nonsense")
	await("1 active; the configuration on disk is not in force: see the log")
}

// A service that is told to stop before it has quite begun leaves nothing behind either.
func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		d, err := New(t.Context(), v.options())
		v.must(err)
		v.must(d.Run(ctx, nil))
	}
}
