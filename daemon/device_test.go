package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// device is a device with a profitd on it, and a simulated Profit that it reaches over TLS: a real socket, a real
// keystore, real files.
type device struct {
	testing.TB
	profit *profittest.Server
	keys   profittest.Connector // what app connector its configuration names
	dir    string
	log    logs
}

func newDevice(t testing.TB) *device {
	t.Helper()
	v := &device{TB: t, profit: profittest.NewServer(), dir: t.TempDir()}
	t.Cleanup(v.profit.Close)
	v.keys = v.profit.AddConnector(profittest.Connector{Description: "Payroll desktop"})
	for _, name := range []string{"jan", "ria", "piet"} {
		v.profit.AddUser(profittest.User{ID: "12345." + name, Email: name + "@example.com"})
	}
	v.must(os.WriteFile(v.path("root.pem"), v.profit.RootCA(), 0o644))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", v.log.String())
		}
	})
	return v
}

func (v *device) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

func (v *device) path(name string) string { return filepath.Join(v.dir, name) }

// self is the account that runs the test, as a line names it.
func self() string { return fmt.Sprintf("uid:%d", os.Geteuid()) }

const settings = `
[device]
description = "LAPTOP-0123"
[network]
ca_file = "root.pem"
no_proxy = "*"
[keystore]
backend = "sealed"
`

// connector is a table of the configuration: the device's app connector, with more settings and lines of users.
func (v *device) connector(name, more string, users ...string) string {
	return connectorTable(name, v.profit.URL(), v.keys, more, users...)
}

func connectorTable(name, url string, keys profittest.Connector, more string, users ...string) string {
	return fmt.Sprintf("[connectors.%s]\nurl = %q\napi_key = %q\nenvironment_key = %q\n%s\n%s",
		name, url, keys.APIKey, keys.EnvironmentKey, more, strings.Join(users, ""))
}

// line is a line of users: accounts, and behind a "+" groups.
func line(connector, id string, holders ...string) string {
	var accounts, groups []string
	for _, holder := range holders {
		if group, found := strings.CutPrefix(holder, "+"); found {
			groups = append(groups, fmt.Sprintf("%q", group))
		} else {
			accounts = append(accounts, fmt.Sprintf("%q", holder))
		}
	}
	return fmt.Sprintf("[[connectors.%s.users]]\nid = %q\naccounts = [%s]\ngroups = [%s]\n",
		connector, id, strings.Join(accounts, ", "), strings.Join(groups, ", "))
}

// write replaces the configuration, as a good editor does, by the settings that all have and these tables.
func (v *device) write(tables ...string) {
	v.Helper()
	v.writeText(settings + strings.Join(tables, "\n"))
}

func (v *device) writeText(text string) {
	v.Helper()
	v.must(os.WriteFile(v.path("config.new"), []byte(text), 0o600))
	v.must(os.Rename(v.path("config.new"), v.path("config.toml")))
}

// own is the usual configuration: payroll with users of the account that runs the test.
func (v *device) own(users ...string) string {
	lines := make([]string, len(users))
	for i, user := range users {
		lines[i] = line("payroll", user, self())
	}
	return v.connector("payroll", `description = "Payroll desktop"`, lines...)
}

// running is the service while it runs.
type running struct {
	*Daemon
	v      *device
	client *ipc.Client
	stop   func() error // once; asks it to end, and waits until it has
}

func (v *device) options() Options {
	return Options{
		ConfigFile: v.path("config.toml"), StateDir: v.path("state"), Socket: v.path("s"), Version: "1.2.3",
		Log: slog.New(slog.NewTextHandler(&v.log, nil)), quiet: 300 * time.Millisecond,
	}
}

// start starts the service and waits until it serves.
func (v *device) start(change ...func(*Options)) *running {
	v.Helper()
	options := v.options()
	for _, f := range change {
		f(&options)
	}
	d, err := New(v.Context(), options)
	v.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- d.Run(ctx, func() { close(ready) }) }()
	<-ready
	r := &running{Daemon: d, v: v, client: ipc.NewClient(ipc.ClientOptions{Socket: options.Socket})}
	r.stop = sync.OnceValue(func() error {
		r.client.Close()
		cancel()
		return <-ended
	})
	v.Cleanup(func() { _ = r.stop() })
	return r
}

// reload has the service look at its configuration.
func (r *running) reload() {
	r.v.Helper()
	ctx, cancel := context.WithTimeout(r.v.Context(), patience)
	defer cancel()
	r.Reload(ctx)
	r.v.must(ctx.Err())
}

// patience is how long a test waits for what is to happen at once.
const patience = 20 * time.Second

// eventually waits until it is so.
func (v *device) eventually(what string, so func() bool) {
	v.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.Fatalf("in vain: %s", what)
		}
	}
}

func payroll(user string) ipc.Ref { return ipc.Ref{Connector: "payroll", User: user} }

// until waits until the entry is in a state.
func (r *running) until(ref ipc.Ref, state ipc.State) (entry ipc.Entry) {
	r.v.Helper()
	r.v.eventually(ref.String()+" is "+string(state), func() bool {
		found, _ := r.entry(ref)
		entry = found
		return entry.State == state
	})
	return entry
}

// admin sees everything and owns nothing.
var admin = &ipc.Peer{Account: "root", Accounts: []string{"root", "uid:0"}, Groups: []string{"root", "gid:0"}, Admin: true}

// entry is the entry as the helpdesk sees it, if there is one; an orphan of that name if there is nothing else.
func (r *running) entry(ref ipc.Ref) (found ipc.Entry, ok bool) {
	for _, entry := range r.entriesFor(admin) {
		if refOf(entry) == ref && (!ok || found.State == ipc.Orphaned) {
			found, ok = entry, true
		}
	}
	return found, ok
}

// code reads what Profit mails the user next.
func (v *device) code(user string) ipc.ActivationCode {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), patience)
	defer cancel()
	mail, err := v.profit.WaitMail(ctx, user)
	v.must(err)
	code, err := ipc.ParseActivationCode(mail.Code)
	v.must(err)
	return code
}

// activate lets the user's entry become active.
func (r *running) activate(ref ipc.Ref) ipc.Entry {
	r.v.Helper()
	code := r.v.code(ref.User)
	r.until(ref, ipc.AwaitingCode)
	entry, err := r.Activate(r.v.Context(), admin, ref, code)
	r.v.must(err)
	if entry.State != ipc.Active {
		r.v.Fatalf("%s is %s: %s", ref, entry.State, entry.Message)
	}
	return entry
}

// token asks over the socket.
func (r *running) token(ref ipc.Ref) (ipc.Token, error) {
	ctx, cancel := context.WithTimeout(r.v.Context(), patience)
	defer cancel()
	return r.client.Token(ctx, ref, ipc.TokenQuery{})
}

// failure is the error's code, "" if there is none.
func failure(err error) ipc.ErrorCode {
	var problem *ipc.Error
	if errors.As(err, &problem) {
		return problem.Code
	}
	if err != nil {
		return ipc.ErrorCode("not of the API: " + err.Error())
	}
	return ""
}

func (v *device) wantFailure(err error, code ipc.ErrorCode) *ipc.Error {
	v.Helper()
	if failure(err) != code {
		v.Fatalf("error %v, want %q", err, code)
	}
	var problem *ipc.Error
	errors.As(err, &problem)
	if problem == nil || problem.Detail == "" || problem.Hint == "" {
		v.Fatalf("it says too little: %#v", problem)
	}
	return problem
}

// mails is how many mails the user got.
func (v *device) mails(user string) int { return len(v.profit.Mails(user)) }

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
