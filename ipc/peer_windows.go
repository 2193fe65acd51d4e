package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// credentials are what the kernel says about the other end of a connection. See credentialsOf and writerOf.
type credentials struct {
	pid       int
	connected time.Time // a process that started later is another one

	// Of the token that the pipe was written with; an empty sid is nobody.
	sid    string
	groups []string // SIDs of those that are enabled: a group that only denies gives no right
	admin  bool     // SYSTEM, or elevated and an administrator
}

// nobody is whom the kernel cannot name.
var nobody credentials

const unidentifiedHint = "The pipe was opened at anonymous level. Open it at identification level: CreateFile with " +
	"SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION; in Go winio.DialPipeAccessImpLevel with PipeImpLevelIdentification; " +
	"in .NET NamedPipeClientStream with TokenImpersonationLevel.Identification."

// unidentified says whether there is no account: none was told, or that of those who say none.
func (c credentials) unidentified() bool { return c.sid == "" || c.sid == anonymousSID }

// SIDs that every Windows has; see "Well-known SIDs" in Microsoft's documentation.
const (
	anonymousSID      = "S-1-5-7"
	systemSID         = "S-1-5-18"
	administratorsSID = "S-1-5-32-544"
)

// accountID is what the connections of an account are counted by: its SID, or the process of one who has not yet
// written anything.
type accountID = string

func (c credentials) account() accountID {
	if c.sid == "" {
		return "process " + strconv.Itoa(c.pid)
	}
	return c.sid
}

// appendKey appends what tells these credentials from others', but not the process.
func (c credentials) appendKey(key []byte) []byte {
	key = strconv.AppendBool(append(key, c.sid...), c.admin)
	for _, sid := range c.groups {
		key = append(append(key, ' '), sid...)
	}
	return key
}

// handle returns the connection's, which remains the connection's own.
func handle(conn net.Conn) (windows.Handle, error) {
	file, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		return 0, errors.New("this connection has no handle")
	}
	return windows.Handle(file.Fd()), nil
}

// credentialsOf asks which process connected.
func credentialsOf(conn net.Conn) (credentials, error) {
	c := credentials{connected: time.Now()}
	pipe, err := handle(conn)
	if err == nil {
		var pid uint32
		err = os.NewSyscallError("GetNamedPipeClientProcessId", windows.GetNamedPipeClientProcessId(pipe, &pid))
		c.pid = int(pid)
	}
	return c, err
}

// identifiedByWriting: unless a client asks for something else, the kernel notes who it is each time that it writes,
// and tells the reader who wrote what was read last. Before something was read it tells nothing; see
// ImpersonateNamedPipeClient.
const identifiedByWriting = true

// writerOf completes the credentials by the account that wrote what has been read. A client that opened the pipe at
// anonymous level remains nobody; that is no error.
func writerOf(conn net.Conn, c credentials) (credentials, error) {
	pipe, err := handle(conn)
	if err != nil {
		return c, err
	}
	token, err := tokenOfWriter(pipe)
	if errors.Is(err, windows.ERROR_CANT_OPEN_ANONYMOUS) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer token.Close()
	return c, c.read(token)
}

// tokenOfWriter impersonates the client for as long as it takes to open the token, on a thread of its own. A thread
// that could not be brought back to the service's own account is thrown away.
func tokenOfWriter(pipe windows.Handle) (windows.Token, error) {
	type result struct {
		token windows.Token
		err   error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		token, err := impersonated(pipe)
		reverted := windows.RevertToSelf()
		done <- result{token, err}
		if reverted == nil {
			runtime.UnlockOSThread() // a thread that is still locked ends with its goroutine
		}
	}()
	got := <-done
	return got.token, got.err
}

func impersonated(pipe windows.Handle) (token windows.Token, err error) {
	if ok, _, err := procImpersonateNamedPipeClient.Call(uintptr(pipe)); ok == 0 {
		return 0, os.NewSyscallError("ImpersonateNamedPipeClient", err)
	}
	// As the service itself: at identification level the client could open nothing.
	err = windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
	return token, os.NewSyscallError("OpenThreadToken", err)
}

var procImpersonateNamedPipeClient = windows.NewLazySystemDLL("advapi32.dll").NewProc("ImpersonateNamedPipeClient")

// read takes from the token what can give rights.
func (c *credentials) read(token windows.Token) error {
	var level, size uint32
	err := windows.GetTokenInformation(token, windows.TokenImpersonationLevel, (*byte)(unsafe.Pointer(&level)), uint32(unsafe.Sizeof(level)), &size)
	if err != nil {
		return os.NewSyscallError("GetTokenInformation TokenImpersonationLevel", err)
	}
	if level < windows.SecurityIdentification {
		return nil
	}
	user, err := token.GetTokenUser()
	if err != nil {
		return os.NewSyscallError("GetTokenInformation TokenUser", err)
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return os.NewSyscallError("GetTokenInformation TokenGroups", err)
	}
	c.take(user.User, groups.AllGroups(), token.IsElevated())
	return nil
}

// take is read, on what the token says. Deny-only is what an account is in a sandbox that took its rights away, and
// what Administrators is in a token that is not elevated.
func (c *credentials) take(user windows.SIDAndAttributes, groups []windows.SIDAndAttributes, elevated bool) {
	if user.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY != 0 {
		return
	}
	c.sid = user.Sid.String()
	for _, group := range groups {
		const not = windows.SE_GROUP_USE_FOR_DENY_ONLY | windows.SE_GROUP_INTEGRITY
		isLogon := group.Attributes&windows.SE_GROUP_LOGON_ID == windows.SE_GROUP_LOGON_ID // of one session
		if group.Attributes&windows.SE_GROUP_ENABLED != 0 && group.Attributes&not == 0 && !isLogon {
			c.groups = append(c.groups, group.Sid.String())
		}
	}
	c.admin = c.sid == systemSID || elevated && slices.Contains(c.groups, administratorsSID)
}

// program returns the path of the program that connected, or nothing where that cannot be proved: its process must
// still be there, and be older than the connection. A service without special rights may look at few processes.
func program(_ net.Conn, c credentials) string {
	// While the handle is held, the id is not another's.
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(c.pid))
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(process)
	var started, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &started, &ended, &kernel, &user); err != nil {
		return ""
	}
	if time.Unix(0, started.Nanoseconds()).After(c.connected) {
		return ""
	}
	path, err := imageOf(process)
	if err != nil {
		return ""
	}
	return path
}

func imageOf(process windows.Handle) (string, error) {
	buffer := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(buffer))
	if err := windows.QueryFullProcessImageName(process, 0, &buffer[0], &size); err != nil {
		return "", os.NewSyscallError("QueryFullProcessImageName", err)
	}
	return windows.UTF16ToString(buffer[:size]), nil
}

// nameTimeout is how long a domain controller may take.
const nameTimeout = 5 * time.Second

// name asks the system for the names of these credentials. With an error it returns the forms that need no names.
func name(c credentials) (Peer, error) {
	type result struct {
		names map[string]accountName
		upn   string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.names, r.err = lookupNames(append([]string{c.sid}, c.groups...))
		r.upn = lookupUPN(r.names[c.sid])
		done <- r
	}()
	timeout := time.NewTimer(nameTimeout)
	defer timeout.Stop()
	var found result
	select {
	case found = <-done:
	case <-timeout.C:
		found.err = fmt.Errorf("no answer within %s", nameTimeout)
	}
	return forms(c, found.names, found.upn), found.err
}

// forms puts every form that a configuration line could name into a peer, the one for records and logs first.
func forms(c credentials, names map[string]accountName, upn string) Peer {
	account := names[c.sid]
	peer := Peer{Admin: c.admin, Accounts: account.forms()}
	if upn != "" {
		peer.Accounts = slices.Insert(peer.Accounts, min(1, len(peer.Accounts)), upn)
	}
	peer.Accounts = append(peer.Accounts, c.sid)
	peer.Account = peer.Accounts[0]
	for _, sid := range c.groups {
		peer.Groups = append(append(peer.Groups, names[sid].forms()...), sid)
	}
	return peer
}

// accountName is a name as Windows has it: CORP and jan, AzureAD and JanJansen, BUILTIN and Administrators.
type accountName struct{ domain, name string }

func (n accountName) forms() []string {
	switch {
	case n.name == "":
		return nil
	case n.domain == "":
		return []string{n.name}
	}
	return []string{n.domain + `\` + n.name, n.name}
}

// lookupNames returns the names of those SIDs that have one. Most the local system knows, or remembers from when the
// account logged on.
func lookupNames(sids []string) (map[string]accountName, error) {
	names := make(map[string]accountName, len(sids))
	var failed error
	for _, text := range sids {
		sid, err := windows.StringToSid(text)
		if err != nil {
			return names, err
		}
		name, domain, _, err := sid.LookupAccount("")
		switch {
		case err == nil:
			names[text] = accountName{domain, name}
		case !errors.Is(err, windows.ERROR_NONE_MAPPED):
			failed = os.NewSyscallError("LookupAccountSid", err)
		}
	}
	return names, failed
}

// lookupUPN asks the domain for the account's user principal name, jan@corp.example. There is none for accounts of
// this computer, and no way to ask for those of Entra ID.
func lookupUPN(account accountName) string {
	computer, err := windows.ComputerName()
	if err != nil || account.domain == "" || account.domain == computer || account.domain == "AzureAD" {
		return ""
	}
	from, err := windows.UTF16PtrFromString(account.domain + `\` + account.name)
	if err != nil {
		return ""
	}
	buffer := make([]uint16, 1024)
	size := uint32(len(buffer))
	err = windows.TranslateName(from, windows.NameSamCompatible, windows.NameUserPrincipal, &buffer[0], &size)
	if err != nil {
		return ""
	}
	return windows.UTF16PtrToString((*uint16)(unsafe.Pointer(&buffer[0])))
}
