package daemon

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// settled waits until what the files say is in force.
func (r *running) settled() {
	r.v.Helper()
	r.v.eventually("the files are in force", func() bool { return !r.status().Configuration.Refused })
}

// status is the status as the helpdesk sees it.
func (r *running) status() ipc.Status {
	r.v.Helper()
	status, err := r.Status(r.v.Context(), admin)
	r.v.must(err)
	return status
}

// An entry that appears is enrolled; one that goes is kept for a while, and returns without a mail.
func TestAddedAndRemoved(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	jan, ria := payroll("12345.jan"), payroll("12345.ria")
	r.activate(jan)
	first, err := r.token(jan)
	v.must(err)

	v.write(v.own("12345.jan", "12345.ria")) // nobody tells: it is seen
	r.activate(ria)
	if got, err := r.token(jan); err != nil || got.Token != first.Token {
		t.Errorf("the other entry suffers: %v", err)
	}

	v.write(v.own("12345.ria"))
	r.reload()
	if why := r.status().Configuration.Why; !strings.Contains(why, "removes entries") {
		t.Errorf("before the files have rested the status says %q", why)
	}
	if _, err := r.token(jan); err != nil {
		t.Errorf("before the files have rested: %v", err)
	}
	r.until(jan, ipc.Orphaned)
	_, err = r.token(jan)
	v.wantFailure(err, ipc.Denied)
	r.settled()

	v.write(v.own("12345.jan", "12345.ria"))
	r.reload()
	if got, err := r.token(jan); err != nil || got.Token != first.Token {
		t.Errorf("what returned has another token: %v", err)
	}
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// An entry that is away for a moment only is never taken away.
func TestHalfAFile(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan", "12345.ria"))
	r := v.start(func(o *Options) { o.quiet = time.Hour })
	r.until(payroll("12345.jan"), ipc.AwaitingCode)
	r.until(payroll("12345.ria"), ipc.AwaitingCode)
	before := r.status().Configuration
	v.write(v.own("12345.jan"))
	r.reload()
	r.until(payroll("12345.ria"), ipc.AwaitingCode)
	if got := r.status().Configuration; !got.Refused || got.SHA256 != before.SHA256 {
		t.Errorf("half a file: %+v", got)
	}
	v.write(v.own("12345.jan", "12345.ria"))
	r.reload()
	if got := r.status().Configuration; got.Refused || got.Why != "" || got.SHA256 != before.SHA256 {
		t.Errorf("the whole file again: %+v", got)
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	good := v.own("12345.jan")
	v.write(good)
	r := v.start()
	r.activate(payroll("12345.jan"))
	before := r.status().Configuration
	for name, spoil := range map[string]func(){
		"not TOML":     func() { v.writeText("[[[") },
		"empty":        func() { v.writeText("") },
		"unknown keys": func() { v.write(good, "[secret]\nvalue = 1\n") },
		"not there":    func() { v.must(os.Remove(v.path("config.toml"))) },
		"to be read":   func() { v.write(good); v.must(os.Chmod(v.path("config.toml"), 0o644)) },
		"a proxy that is none": func() {
			v.writeText(strings.Replace(settings, `no_proxy = "*"`, `proxy = "gopher://localhost:1"`, 1) + good)
		},
		"two entries, one token": func() {
			v.write(good, v.connector("other", "", "[[connectors.other.users]]\nid = \"12345.{name}\"\ngroups = [\"staff\"]\n"))
		},
	} {
		spoil()
		r.reload()
		got := r.status().Configuration
		if !got.Refused || got.Why == "" || got.SHA256 != before.SHA256 || !got.LoadedAt.Equal(*before.LoadedAt) {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(got.Why, v.keys.APIKey) {
			t.Errorf("%s: it quotes a key", name)
		}
		if public, _ := r.Status(t.Context(), person("jan")); !public.Configuration.Refused || public.Configuration.Why != "" {
			t.Errorf("%s: others are told %+v", name, public.Configuration)
		}
		if _, err := r.token(payroll("")); err != nil {
			t.Errorf("%s: the token is not served: %v", name, err)
		}
	}
	v.write(good)
	r.reload()
	if got := r.status().Configuration; got.Refused || got.SHA256 != before.SHA256 {
		t.Errorf("mended: %+v", got)
	}
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// The name of a connector is for people: the token stays. Another API key or user is another token.
func TestIdentity(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	lines := func(connector string) string { return line(connector, "12345.jan", self()) }
	v.write(v.connector("payroll", "", lines("payroll")))
	r := v.start()
	first := r.activate(payroll("12345.jan"))

	v.write(v.connector("wages", "description = \"Wages\"", lines("wages")))
	r.reload()
	wages := ipc.Ref{Connector: "wages", User: "12345.jan"}
	renamed, ok := r.entry(wages)
	if !ok || renamed.State != ipc.Active || renamed.ID != first.ID || renamed.Fingerprint != first.Fingerprint {
		t.Errorf("renamed: %+v", renamed)
	}
	token, err := r.token(wages)
	v.must(err)
	if token.Connector != "wages" || token.Description != "Wages" {
		t.Errorf("its token is of %q, %q", token.Connector, token.Description)
	}
	_, err = r.token(payroll("12345.jan"))
	v.wantFailure(err, ipc.Denied)
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails after the new name", n)
	}

	old := v.keys
	v.keys = v.profit.AddConnector(profittest.Connector{Description: "Payroll desktop", EnvironmentKey: old.EnvironmentKey})
	v.write(v.connector("wages", "", lines("wages")))
	r.eventuallyNot(wages, first.Fingerprint)
	second := r.activate(wages)
	if second.ID == first.ID || second.Fingerprint == first.Fingerprint {
		t.Errorf("another API key has the same token: %+v", second)
	}
	orphans := 0
	for _, entry := range r.entriesFor(admin) {
		if entry.State == ipc.Orphaned && entry.ID == first.ID {
			orphans++
		}
	}
	if orphans != 1 {
		t.Errorf("the old token has %d orphans", orphans)
	}
}

// eventuallyNot waits until the entry's token is no longer that one, and sees to it that nobody gets it afterwards.
func (r *running) eventuallyNot(ref ipc.Ref, fingerprint string) {
	r.v.Helper()
	r.v.eventually("the old token is gone", func() bool {
		_, err := r.token(ref)
		return err != nil
	})
	for range 20 {
		if token, err := r.token(ref); err == nil {
			r.v.Fatalf("a token is served: %v", token)
		}
	}
}

// What was good last is gone on with when the files are not in order at a start.
func TestLastGood(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	good := v.own("12345.jan")
	v.write(good)
	r := v.start()
	r.activate(payroll("12345.jan"))
	before := r.status().Configuration
	v.must(r.stop())
	sealed, err := os.ReadFile(v.path("state/config.sealed"))
	v.must(err)
	if strings.Contains(string(sealed), v.keys.APIKey) {
		t.Errorf("the last good configuration lies there in the clear")
	}

	v.writeText("[[[")
	r = v.start()
	got := r.status().Configuration
	if !got.Refused || got.Why == "" || got.SHA256 != before.SHA256 || !slices.Equal(got.Files, before.Files) {
		t.Errorf("after the restart: %+v", got)
	}
	if _, err := r.token(payroll("")); err != nil {
		t.Errorf("the token is not served: %v", err)
	}
	v.write(good)
	r.reload()
	if got := r.status().Configuration; got.Refused {
		t.Errorf("mended: %+v", got)
	}
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// Without any configuration the service runs, serves nothing and gives nothing up.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	good := v.own("12345.jan")
	v.write(good)
	r := v.start()
	first := r.activate(payroll("12345.jan"))
	v.must(r.stop())
	v.must(os.Remove(v.path("state/config.sealed")))
	v.must(os.Remove(v.path("config.toml")))

	r = v.start()
	_, err := r.token(payroll("12345.jan"))
	v.wantFailure(err, ipc.Denied)
	entry, _ := r.entry(payroll("12345.jan"))
	if entry.State != ipc.Active || entry.Fingerprint != first.Fingerprint {
		t.Errorf("the record of before: %+v", entry)
	}
	if status := r.status(); !status.Configuration.Refused || status.Configuration.SHA256 != "" || status.Configuration.LoadedAt != nil || status.Configuration.Files != nil {
		t.Errorf("status: %+v", status.Configuration)
	}
	v.must(r.stop())
	r = v.start()
	v.write(good)
	r.reload()
	if _, err := r.token(payroll("12345.jan")); err != nil {
		t.Errorf("with a configuration again: %v", err)
	}
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// What cannot be put in force now is tried again by itself, and said meanwhile.
func TestNotPutInForce(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.until(payroll("12345.jan"), ipc.AwaitingCode)
	v.must(r.Daemon.enrol.Close(t.Context())) // the record can no longer be written
	v.write(v.own("12345.jan", "12345.ria"))
	r.reload()
	if got := r.status().Configuration; !got.Refused || !strings.Contains(got.Why, "tried again") {
		t.Errorf("it is taken for in force: %+v", got)
	}
	if _, ok := r.entry(payroll("12345.ria")); ok {
		t.Errorf("half of it is in force")
	}
}

// Settings that belong to no identity take force without a mail, in the next request already.
func TestOtherSettings(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	r := v.start()
	r.activate(payroll("12345.jan"))
	v.write(v.connector("payroll", "integration_id = \"12345_99\"", line("payroll", "12345.jan", self(), "+staff")))
	r.reload()
	token, err := r.token(payroll(""))
	v.must(err)
	if token.Headers["IntegrationId"] != "12345_99" {
		t.Errorf("headers: %q", token.Headers["IntegrationId"])
	}
	entry, _ := r.entry(payroll("12345.jan"))
	if !slices.Equal(entry.Groups, []string{"staff"}) || v.mails("12345.jan") != 1 {
		t.Errorf("entry: %+v", entry)
	}
}

// A template's entries are made by whoever they are for, and stay over reloads and restarts.
func TestTemplates(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	template := func(more string) string {
		return v.connector("payroll", more, "[[connectors.payroll.users]]\nid = \"12345.{name}\"\naccounts = [\"CORP\\\\*\"]\n")
	}
	v.write(template(""))
	r := v.start()
	jan, janAlone := person(`CORP\jan`), payroll("12345.jan")

	listed := r.entriesFor(jan)
	if len(listed) != 1 || listed[0].State != ipc.Idle || listed[0].Message == "" || refOf(listed[0]) != janAlone {
		t.Fatalf("jan's list: %+v", listed)
	}
	receipt, err := r.Reset(t.Context(), jan, janAlone, ipc.ResetRequest{DryRun: true, Enrol: true})
	v.must(err)
	if receipt.Before.State != ipc.Idle || receipt.After.State != ipc.Requesting || receipt.DeletedHere {
		t.Errorf("what a reset would do: %+v", receipt)
	}
	if _, made := r.entry(janAlone); made || len(v.profit.Mails("")) != 0 {
		t.Fatalf("to look at it made it")
	}
	_, err = r.Code(t.Context(), admin, janAlone)
	v.wantFailure(err, ipc.Denied) // it is not the helpdesk's to make
	_, err = r.Token(t.Context(), jan, payroll(""), ipc.TokenQuery{})
	v.wantFailure(err, ipc.Pending)
	code := v.code("12345.jan")
	r.until(janAlone, ipc.AwaitingCode)
	active, err := r.Activate(t.Context(), jan, janAlone, code)
	v.must(err)
	if active.ID != listed[0].ID || active.Accounts != nil {
		t.Errorf("active: %+v", active)
	}
	served := func(when string) {
		t.Helper()
		token, err := r.Token(t.Context(), jan, payroll(""), ipc.TokenQuery{})
		if err != nil || token.User != "12345.jan" {
			t.Errorf("%s: %v", when, err)
		}
	}
	served("at first")
	v.write(template("integration_id = \"12345_99\""))
	r.reload()
	served("after a reload")
	v.must(r.stop())
	r = v.start()
	served("after a restart")
	v.write(v.connector("payroll", "", line("payroll", "12345.els", "els")))
	r.until(janAlone, ipc.Orphaned)
	r.settled()
	_, err = r.Token(t.Context(), jan, payroll(""), ipc.TokenQuery{})
	v.wantFailure(err, ipc.Denied)
	v.write(template(""), line("payroll", "12345.els", "els"))
	r.reload()
	served("with the template again")
	if n := v.mails("12345.jan"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// Accounts that ask at the same time as the configuration changes each get their own entry, once.
func TestTemplatesAndReloads(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	template := func(n int) string {
		return v.connector("payroll", fmt.Sprintf("integration_id = \"12345_%d\"", n), "[[connectors.payroll.users]]\nid = \"12345.{name}\"\naccounts = [\"CORP\\\\*\"]\n")
	}
	v.write(template(0))
	r := v.start()
	const rounds, people = 10, 10
	for round := 1; round <= rounds; round++ {
		done := make(chan error, people)
		go func() {
			for i := range people {
				go func() {
					peer := person(fmt.Sprintf(`CORP\p%d-%d`, round, i))
					_, err := r.Token(t.Context(), peer, payroll(""), ipc.TokenQuery{})
					done <- err
				}()
			}
		}()
		v.write(template(round))
		r.reload()
		for range people {
			if err := <-done; failure(err) != ipc.Pending && failure(err) != ipc.ActivationRequired {
				t.Errorf("asked: %v", err)
			}
		}
		f := r.inForce.Load()
		for _, view := range r.Daemon.enrol.Views() {
			x := f.findKey(view.Key)
			if x == nil || x.handle != r.Daemon.enrol.Handle(view.Key) || view.Orphan {
				t.Errorf("%s is not what is in force", view.About.User)
			}
		}
		if got := len(f.all()); got != round*people {
			t.Errorf("%d entries", got)
		}
	}
}
