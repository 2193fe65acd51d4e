package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/profitd/profitd/profit/profittest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"profitd": main})
}

// profitctl is built for the scripts: a program of its own, as people have it.
func buildProfitctl(t *testing.T) string {
	dir := t.TempDir()
	name := filepath.Join(dir, "profitctl")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if output, err := exec.Command("go", "build", "-o", name, "../profitctl").CombinedOutput(); err != nil {
		t.Fatalf("cannot build profitctl: %v\n%s", err, output)
	}
	return dir
}

// TestScripts runs the scripts of testdata against the real programs: profitd as a process, with a simulated Profit
// over TLS, the sealed keystore and a real socket. Besides testscript's own commands they have
//
//	config FILE [USER...]    writes a configuration of the connector payroll with these users, all owned by this account
//	                         (-enrol on_request before the users); FILE.d/NAME.toml goes as it is
//	start [ARG...]           runs profitd in the background, and waits until it answers
//	stop SIGNAL              sends it a signal and waits for its end; its log is in the file log
//	mail USER                waits for the next mail to the user; the file code has what was in it
//	mails N [USER]           Profit has mailed so many codes
//	fault CALL KIND          what Profit does to the next such call: cutbefore, cutafter, refusal, html, maintenance,
//	                         unauthorized, forbidden, hang
//	clearfaults              Profit behaves again
//	called CALL N            Profit has been called so often; "until called" waits for that
//	until COMMAND...         repeats the command until it succeeds (with "!": fails), for 20 s
//	exits N COMMAND...       the command exits with N; its output is in the files out and err
func TestScripts(t *testing.T) {
	params := scriptParams(buildProfitctl(t))
	params.Dir = "testdata"
	testscript.Run(t, params)
}

// scriptParams are those of all scripts; bin is where profitctl is.
func scriptParams(bin string) testscript.Params {
	return testscript.Params{
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			w := newWorld(env)
			env.Values[worldKey{}] = w
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("PROFITD_SOCKET", w.socket)
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, "tmp"))
			env.Defer(w.end)
			return os.Mkdir(filepath.Join(env.WorkDir, "tmp"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"config": cmdConfig, "start": cmdStart, "stop": cmdStop, "mail": cmdMail, "mails": cmdMails,
			"fault": cmdFault, "clearfaults": cmdClearFaults, "called": cmdCalled, "until": cmdUntil, "exits": cmdExits,
		},
	}
}

type worldKey struct{}

// world is what a script has around its service.
type world struct {
	dir       string
	socket    string
	profit    *profittest.Server
	connector profittest.Connector
	service   *exec.Cmd
}

func newWorld(env *testscript.Env) *world {
	w := &world{dir: env.WorkDir, socket: filepath.Join(env.WorkDir, ".s", "sock"), profit: profittest.NewServer()}
	w.connector = w.profit.AddConnector(profittest.Connector{Description: "Payroll desktop"})
	for _, name := range []string{"jan", "ria", "piet"} {
		w.profit.AddUser(profittest.User{ID: "12345." + name, Email: name + "@example.com"})
	}
	w.profit.AddUser(profittest.User{ID: "12345.nomail"})
	return w
}

func (w *world) end() {
	if w.service != nil {
		w.service.Process.Kill()
		w.service.Wait()
	}
	w.profit.Close()
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func cmdConfig(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	file := args[0]
	enrol := "at_once"
	users := args[1:]
	if len(users) > 1 && users[0] == "-enrol" {
		enrol, users = users[1], users[2:]
	}
	own, err := ownAccount()
	ts.Check(err)
	f := newFile()
	c := fileConnector{
		Description: w.connector.Description, URL: w.profit.URL(), SOAPURL: w.profit.SOAPURL(), OTPAPI: "rest", Enrol: enrol,
		APIKey: w.connector.APIKey, EnvironmentKey: w.connector.EnvironmentKey, IntegrationID: "12345_123456",
	}
	for _, user := range users {
		c.Users = append(c.Users, fileUser{ID: user, Accounts: []string{own}})
	}
	f.Connectors["payroll"] = c
	path := ts.MkAbs(file)
	ts.Check(os.WriteFile(filepath.Join(filepath.Dir(path), "profit-root.pem"), w.profit.RootCA(), 0o644))
	ts.Check(os.WriteFile(path+".new", []byte(f.text()), 0o600))
	ts.Check(os.Rename(path+".new", path))
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if w.service != nil {
		ts.Fatalf("the service runs already")
	}
	log, err := os.OpenFile(ts.MkAbs("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	if len(args) == 0 {
		args = []string{"--config", ts.MkAbs("config.toml"), "--state-dir", ts.MkAbs("state"), "--socket", w.socket}
	}
	w.service = exec.Command("profitd", append([]string{"run"}, args...)...)
	w.service.Dir, w.service.Stderr = w.dir, log
	w.service.Env = append(os.Environ(), "TMPDIR="+ts.Getenv("TMPDIR"), "PROFITD_SOCKET="+ts.Getenv("PROFITD_SOCKET"),
		"XDG_CONFIG_HOME="+ts.MkAbs("home/config"), "XDG_STATE_HOME="+ts.MkAbs("home/state"), "XDG_RUNTIME_DIR="+ts.MkAbs("home/run"))
	ts.Check(w.service.Start())
	log.Close()
	eventually(ts, "the service does not answer", func() bool {
		return ts.Exec("profitctl", "--socket", ts.Getenv("PROFITD_SOCKET"), "whoami") == nil
	})
}

func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	ts.Check(w.service.Process.Signal(signals[args[0]]))
	err := w.service.Wait()
	w.service = nil
	if args[0] != "KILL" && err != nil {
		ts.Fatalf("the service ended with %v", err)
	}
}

func cmdMail(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mail, err := worldOf(ts).profit.WaitMail(ctx, args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("code"), []byte(mail.Code+"\n"), 0o600))
	// The mail can be read here before Profit has answered the request for it: a call that waits ends when it has.
	_ = ts.Exec("profitctl", "token", "payroll", args[0], "--wait", "20s")
}

func cmdMails(ts *testscript.TestScript, neg bool, args []string) {
	user := ""
	if len(args) > 1 {
		user = args[1]
	}
	if got := len(worldOf(ts).profit.Mails(user)); strconv.Itoa(got) != args[0] {
		ts.Fatalf("Profit has mailed %d codes, want %s", got, args[0])
	}
}

var faults = map[string]profittest.Fault{
	"cutbefore":    {Cut: profittest.CutBefore},
	"cutafter":     {Cut: profittest.CutAfter},
	"refusal":      {Answer: profittest.Refusal("The user is unknown.")},
	"html":         {Answer: profittest.HTML(502)},
	"maintenance":  {Answer: profittest.Maintenance(2 * time.Hour)},
	"unauthorized": {Answer: profittest.Empty(401)},
	"forbidden":    {Answer: profittest.Empty(403)},
	"hang":         {Delay: 5 * time.Minute},
}

func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	fault, known := faults[args[1]]
	if !known {
		ts.Fatalf("there is no fault %s", args[1])
	}
	fault.Call = args[0]
	worldOf(ts).profit.Fault(fault)
}

func cmdClearFaults(ts *testscript.TestScript, neg bool, args []string) {
	worldOf(ts).profit.ClearFaults()
}

func cmdCalled(ts *testscript.TestScript, neg bool, args []string) {
	if !called(ts, args) {
		ts.Fatalf("Profit got %d calls of %s, want %s", worldOf(ts).profit.Count(args[0]), args[0], args[1])
	}
}

func called(ts *testscript.TestScript, args []string) bool {
	return strconv.Itoa(worldOf(ts).profit.Count(args[0])) == args[1]
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if args[0] == "called" {
		eventually(ts, strings.Join(args, " "), func() bool { return called(ts, args[1:]) })
		return
	}
	eventually(ts, strings.Join(args, " "), func() bool { return (ts.Exec(args[0], args[1:]...) == nil) != neg })
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	command := exec.Command(args[1], args[2:]...)
	command.Dir = worldOf(ts).dir
	command.Env = append(os.Environ(), "PROFITD_SOCKET="+ts.Getenv("PROFITD_SOCKET"), "PATH="+ts.Getenv("PATH"), "TMPDIR="+ts.Getenv("TMPDIR"))
	if resolved, err := lookPath(args[1], ts.Getenv("PATH")); err == nil {
		command.Path, command.Err = resolved, nil
	}
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(out.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(errs.String()), 0o600))
	ts.Logf("[stdout]\n%s[stderr]\n%s", out.String(), errs.String())
	if got := command.ProcessState.ExitCode(); fmt.Sprint(got) != args[0] {
		ts.Fatalf("%v: exit code %d, want %s (%v)", args[1:], got, args[0], err)
	}
}

// lookPath looks a program up as the script's PATH says.
func lookPath(name, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", exec.ErrNotFound
}

// eventually waits until something is so.
func eventually(ts *testscript.TestScript, what string, so func() bool) {
	deadline := time.Now().Add(20 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			ts.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
