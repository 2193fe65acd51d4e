package ipc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// Accounts and groups that no computer has.
const (
	strangerSID = "S-1-5-21-1000-2000-3000-1104"
	payrollSID  = "S-1-5-21-1000-2000-3000-1200"
)

// mySID is of the account that the tests run as.
func mySID(t testing.TB) string {
	t.Helper()
	own, err := ownSID()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// dialWith returns a client that opens the pipe in its own way.
func dialWith(t *testing.T, path string, open func(context.Context) (net.Conn, error)) *Client {
	client := newClient(t, path)
	client.links.dial = func(ctx context.Context) (net.Conn, error) { return open(ctx) }
	return client
}

// The caller in all its forms, and which process it is.
func TestWhoami(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	me, err := newClient(t, path).Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := mySID(t)
	name, domain, _, err := must(windows.StringToSid(own)).LookupAccount("")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{domain + `\` + name, name, own}; !slices.Equal(me.Accounts, want) {
		t.Errorf("accounts %q instead of %q", me.Accounts, want)
	}
	for _, want := range []string{"S-1-5-11", `NT AUTHORITY\Authenticated Users`, "Authenticated Users"} {
		if !slices.Contains(me.Groups, want) {
			t.Errorf("no %s in %q", want, me.Groups)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if me.PID != os.Getpid() || !strings.EqualFold(me.Program, self) {
		t.Errorf("process %d, %s instead of %d, %s", me.PID, me.Program, os.Getpid(), self)
	}
}

// A token at anonymous level says nothing about its account.
func TestAnonymousToken(t *testing.T) {
	var process windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_DUPLICATE|windows.TOKEN_QUERY, &process); err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	for level, want := range map[uint32]string{windows.SecurityAnonymous: "", windows.SecurityIdentification: mySID(t), windows.SecurityImpersonation: mySID(t)} {
		var token windows.Token
		if err := windows.DuplicateTokenEx(process, windows.TOKEN_QUERY, nil, level, windows.TokenImpersonation, &token); err != nil {
			t.Fatal(err)
		}
		var c credentials
		if err := c.read(token); err != nil || c.sid != want {
			t.Errorf("level %d: %q, %v", level, c.sid, err)
		}
		token.Close()
	}
}

// unknown accepts connections about which the system says nothing.
type unknown struct{ net.Listener }

func (l unknown) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// Whom the system cannot name has no rights at all, and learns how to be known.
func TestUnidentified(t *testing.T) {
	listener := listenOn(t, socketPath(t))
	server := NewServer(newBackend(Owner|Helpdesk), ServerOptions{})
	go server.Serve(unknown{listener})
	defer server.Shutdown(t.Context())
	client := newClient(t, listener.Addr().String())
	_, err := client.Token(t.Context(), jan, TokenQuery{})
	if problem := wantCode(t, err, Unidentified); !strings.Contains(problem.Hint, "SECURITY_IDENTIFICATION") {
		t.Errorf("the hint: %s", problem.Hint)
	}
	_, err = client.Status(t.Context())
	wantCode(t, err, Unidentified)
}

// Who opens the pipe anonymously, as winio does unless told otherwise, is such a one.
func TestAnonymous(t *testing.T) {
	if isWine() {
		t.Skip("Wine gives the server a token that it may use, whatever the client asked for")
	}
	_, path := serve(t, newBackend(Owner|Helpdesk), ServerOptions{})
	client := dialWith(t, path, func(ctx context.Context) (net.Conn, error) { return winio.DialPipeContext(ctx, path) })
	for range 2 {
		_, err := client.Token(t.Context(), jan, TokenQuery{})
		wantCode(t, err, Unidentified)
	}
	if _, err := newClient(t, path).Token(t.Context(), jan, TokenQuery{}); err != nil {
		t.Errorf("one who is known, afterwards: %v", err)
	}
}

// A program that opens the pipe as it would a file, as Node.js and .NET do, is known: but only from what it writes.
func TestPlainOpen(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	for deadline := time.Now().Add(5 * time.Second); errors.Is(err, windows.ERROR_PIPE_BUSY) && time.Now().Before(deadline); {
		pipe, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := io.WriteString(pipe, "GET /v1/tokens/payroll/12345.jan HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(pipe), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%+v, %v", response, err)
	}
}

// A connection counts as its process's until something is written to it, and as its account's from then on.
func TestCountedByAccount(t *testing.T) {
	server, path := serve(t, newBackend(Owner), ServerOptions{})
	silent := connect(t, path)
	client := newClient(t, path)
	if _, err := client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	process := credentials{pid: os.Getpid()}.account()
	server.counter.mu.Lock()
	counts := server.counter.accounts
	if len(counts) != 2 || counts[process] != 1 || counts[mySID(t)] != 1 {
		t.Errorf("%v", counts)
	}
	server.counter.mu.Unlock()
	silent.Close()
}

// The token's groups that give no right are left out, and who is elevated is an administrator.
func TestToken(t *testing.T) {
	const (
		on       = windows.SE_GROUP_ENABLED | windows.SE_GROUP_ENABLED_BY_DEFAULT | windows.SE_GROUP_MANDATORY
		denyOnly = windows.SE_GROUP_USE_FOR_DENY_ONLY
	)
	type group struct {
		sid        string
		attributes uint32
	}
	for _, test := range []struct {
		name     string
		user     group
		groups   []group
		elevated bool
		want     credentials
	}{
		{"ordinary", group{strangerSID, 0}, []group{{payrollSID, on}, {"S-1-5-11", on}}, false,
			credentials{sid: strangerSID, groups: []string{payrollSID, "S-1-5-11"}}},
		{"not elevated", group{strangerSID, 0}, []group{{administratorsSID, denyOnly}, {payrollSID, on}}, false,
			credentials{sid: strangerSID, groups: []string{payrollSID}}},
		{"elevated", group{strangerSID, 0}, []group{{administratorsSID, on | windows.SE_GROUP_OWNER}}, true,
			credentials{sid: strangerSID, groups: []string{administratorsSID}, admin: true}},
		{"elevated as something else", group{strangerSID, 0}, []group{{administratorsSID, denyOnly}}, true,
			credentials{sid: strangerSID}},
		{"an administrator with its rights taken away", group{strangerSID, 0}, []group{{administratorsSID, on}}, false,
			credentials{sid: strangerSID, groups: []string{administratorsSID}}},
		{"SYSTEM", group{systemSID, 0}, []group{{administratorsSID, on}}, true,
			credentials{sid: systemSID, groups: []string{administratorsSID}, admin: true}},
		{"groups that are off", group{strangerSID, 0}, []group{{payrollSID, 0}, {"S-1-5-11", windows.SE_GROUP_MANDATORY}}, false,
			credentials{sid: strangerSID}},
		{"deny wins", group{strangerSID, 0}, []group{{payrollSID, on | denyOnly}}, false, credentials{sid: strangerSID}},
		{"no groups", group{strangerSID, 0}, []group{
			{"S-1-16-8192", windows.SE_GROUP_INTEGRITY | windows.SE_GROUP_INTEGRITY_ENABLED | on},
			{"S-1-5-5-0-1234", windows.SE_GROUP_LOGON_ID | on},
		}, false, credentials{sid: strangerSID}},
		{"a sandbox without an account", group{strangerSID, denyOnly}, []group{{payrollSID, on}}, false, nobody},
	} {
		var groups []windows.SIDAndAttributes
		for _, g := range test.groups {
			groups = append(groups, windows.SIDAndAttributes{Sid: must(windows.StringToSid(g.sid)), Attributes: g.attributes})
		}
		var got credentials
		got.take(windows.SIDAndAttributes{Sid: must(windows.StringToSid(test.user.sid)), Attributes: test.user.attributes}, groups, test.elevated)
		if got.sid != test.want.sid || got.admin != test.want.admin || !slices.Equal(got.groups, test.want.groups) {
			t.Errorf("%s: %+v instead of %+v", test.name, got, test.want)
		}
	}
	if !nobody.unidentified() || !(credentials{sid: "S-1-5-7"}).unidentified() || (credentials{sid: strangerSID}).unidentified() {
		t.Error("takes somebody for nobody, or the other way round")
	}
}

// Every form of every kind of account: of a domain, of Entra ID, of this computer, and one that nobody can name.
func TestForms(t *testing.T) {
	groups := map[string]accountName{payrollSID: {"CORP", "Payroll users"}, "S-1-1-0": {"", "Everyone"}}
	for _, test := range []struct {
		name     accountName
		upn      string
		account  string
		accounts []string
	}{
		{accountName{"CORP", "jan"}, "jan@corp.example", `CORP\jan`, []string{`CORP\jan`, "jan@corp.example", "jan", strangerSID}},
		{accountName{"AzureAD", "JanJansen"}, "", `AzureAD\JanJansen`, []string{`AzureAD\JanJansen`, "JanJansen", strangerSID}},
		{accountName{"LAPTOP-0123", "jan"}, "", `LAPTOP-0123\jan`, []string{`LAPTOP-0123\jan`, "jan", strangerSID}},
		{accountName{}, "", strangerSID, []string{strangerSID}},
	} {
		names := map[string]accountName{strangerSID: test.name, payrollSID: groups[payrollSID], "S-1-1-0": groups["S-1-1-0"]}
		peer := forms(credentials{sid: strangerSID, groups: []string{payrollSID, "S-1-1-0", "S-1-5-21-9-9-9-9"}, admin: true}, names, test.upn)
		if peer.Account != test.account || !slices.Equal(peer.Accounts, test.accounts) || !peer.Admin || peer.Anonymous {
			t.Errorf("%+v", peer)
		}
		if want := []string{`CORP\Payroll users`, "Payroll users", payrollSID, "Everyone", "S-1-1-0", "S-1-5-21-9-9-9-9"}; !slices.Equal(peer.Groups, want) {
			t.Errorf("groups %q instead of %q", peer.Groups, want)
		}
	}
}

// Who has no name is no error: it is asked for again no sooner than others.
func TestNames(t *testing.T) {
	names, err := lookupNames([]string{systemSID, strangerSID})
	if err != nil || names[systemSID] != (accountName{"NT AUTHORITY", "SYSTEM"}) || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	for _, account := range []accountName{{}, names[systemSID], {must(windows.ComputerName()), "jan"}, {"NODOMAIN", "jan"}} {
		if upn := lookupUPN(account); upn != "" {
			t.Errorf("%v is %s", account, upn)
		}
	}
}

// Another caller's names are not mistaken for one's own, whatever differs.
func TestKeys(t *testing.T) {
	seen := map[string]credentials{}
	for _, c := range []credentials{
		{sid: "S-1-5-1"}, {sid: "S-1-5-11"}, {sid: "S-1-5-1", admin: true}, {sid: "S-1-5-1", groups: []string{"S-1-1-0"}},
		{sid: "S-1-5-1", groups: []string{"S-1-1-0", "S-1-1-1"}}, {sid: "S-1-5-1", groups: []string{"S-1-1-0S-1-1-1"}},
	} {
		key := string(c.appendKey(nil))
		if other, found := seen[key]; found {
			t.Errorf("%+v has the key of %+v", c, other)
		}
		seen[key] = c
	}
}

// A process that is younger than the connection has only inherited its id.
func TestProgram(t *testing.T) {
	before := time.Now()
	child := exec.Command(os.Args[0], "-test.run=^TestProcessThatWaits$")
	child.Env = append(os.Environ(), "IPC_TEST_WAIT=1")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer stdin.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := program(nil, credentials{pid: child.Process.Pid, connected: time.Now().Add(time.Minute)}); !strings.EqualFold(got, self) {
		t.Errorf("an older process: %q", got)
	}
	if got := program(nil, credentials{pid: child.Process.Pid, connected: before.Add(-time.Minute)}); got != "" {
		t.Errorf("a younger process: %q", got)
	}
	if got := program(nil, credentials{pid: 1<<31 - 4, connected: time.Now()}); got != "" {
		t.Errorf("no process: %q", got)
	}
}

// TestProcessThatWaits is the child of the test above.
func TestProcessThatWaits(t *testing.T) {
	if os.Getenv("IPC_TEST_WAIT") == "" {
		t.Skip("runs as the child of TestProgram")
	}
	io.Copy(io.Discard, os.Stdin)
}

// After a caller was impersonated, every thread is the service's own again.
func TestReverts(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	for range 50 {
		client := newClient(t, path)
		if _, err := client.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		done := make(chan error)
		go func() {
			var token windows.Token
			err := windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
			if err == nil {
				token.Close()
			}
			done <- err
		}()
		if err := <-done; err != windows.ERROR_NO_TOKEN {
			t.Fatalf("a thread is somebody else: %v", err)
		}
	}
}

// must is for what cannot fail.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Beforehand an account has the forms that it has when it calls.
func TestLookupPeer(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	me, err := newClient(t, path).Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range me.Accounts {
		peer, err := LookupPeer(account)
		if err != nil || !slices.Equal(peer.Accounts, me.Accounts) {
			t.Errorf("%s is %+v, %v", account, peer, err)
		}
	}
	if peer, err := LookupPeer("nobody-like-that"); err == nil {
		t.Errorf("found %+v", peer)
	}
}
