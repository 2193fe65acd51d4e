package ipc

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

const (
	pipePrefix   = `\\.\pipe\`
	systemSocket = pipePrefix + "profitd"
	pipeBuffer   = 64 << 10 // each way
)

// pipeAccess says in SDDL who may do what with the pipe; %[1]s is the SID of the account that the service runs as:
//
//	O:%[1]s                  it owns the pipe, which is how clients know it
//	D:P                      nobody else than these may do anything, whatever is inherited:
//	(A;;FA;;;SY)             SYSTEM, everything
//	(A;;FA;;;BA)             Administrators that are elevated, everything
//	(A;;FA;;;%[1]s)          the service itself, everything
//	(A;;0x12019b;;;AU)       whoever has logged on, read and write, but make no other instance of the pipe and so
//	                         receive what was meant for the service: all of FILE_GENERIC_READ and FILE_GENERIC_WRITE
//	                         except FILE_CREATE_PIPE_INSTANCE. Guests and sandboxed apps are not among them.
//
// Callers from the network are not let in whatever they may: winio makes pipes with FILE_PIPE_REJECT_REMOTE_CLIENTS.
const pipeAccess = "O:%[1]sD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;%[1]s)(A;;0x12019b;;;AU)"

// clientAccess is what pipeAccess gives to everybody.
const clientAccess = 0x12019b

// listen makes the pipe. The first instance of a pipe decides who may make others; winio makes it with FILE_CREATE,
// which fails where somebody has one.
func listen(path string) (net.Listener, error) {
	if !isPipe(path) {
		return nil, fmt.Errorf("cannot listen on %s: that is no name of a pipe. Choose one that starts with %s", path, pipePrefix)
	}
	own, err := ownSID()
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	listener, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: fmt.Sprintf(pipeAccess, own),
		InputBufferSize:    pipeBuffer,
		OutputBufferSize:   pipeBuffer,
	})
	if err != nil {
		if holder := holderOf(path); holder != "" {
			return nil, fmt.Errorf("cannot listen on %s: %s has that pipe already. Stop that first; if it is a profitd: profitd stop", path, holder)
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return listener, nil
}

func isPipe(path string) bool {
	return len(path) > len(pipePrefix) && strings.EqualFold(path[:len(pipePrefix)], pipePrefix)
}

// holderOf says which process has made the pipe of that name, as far as that can be known; nothing if none has. It
// looks at anonymous level, so that the process learns nothing about this one and can do nothing in its name.
func holderOf(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := winio.DialPipeAccess(ctx, path, windows.FILE_READ_ATTRIBUTES|windows.READ_CONTROL|windows.SYNCHRONIZE)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		return "another process"
	}
	defer conn.Close()
	pipe, err := handle(conn)
	var pid uint32
	if err != nil || windows.GetNamedPipeServerProcessId(pipe, &pid) != nil {
		return "another process"
	}
	holder := fmt.Sprintf("process %d", pid)
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return holder
	}
	defer windows.CloseHandle(process)
	if path, err := imageOf(process); err == nil {
		holder += " (" + path + ")"
	}
	return holder
}

// dialSocket opens the pipe at identification level, which lets the service see who calls, and lets nobody act as the
// caller.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	return winio.DialPipeAccessImpLevel(ctx, path, clientAccess, winio.PipeImpLevelIdentification)
}

// checkServer returns an UnreachableError unless the pipe's owner is one of those that ClientOptions names. The owner
// is who made the first instance, and only such an account can have made this one. Nobody can give a pipe to an owner
// that he is not. The process that serves the pipe would be no proof, and most callers may not look at it.
func checkServer(conn net.Conn, options ClientOptions) error {
	pipe, err := handle(conn)
	if err != nil {
		return err
	}
	security, err := windows.GetSecurityInfo(pipe, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("cannot tell who listens: %w", err)
	}
	owner, _, err := security.Owner()
	if err != nil {
		return fmt.Errorf("cannot tell who listens: %w", err)
	}
	allowed, err := mayServe(owner.String(), options)
	if err != nil || allowed {
		return err
	}
	return &UnreachableError{
		Socket: options.Socket,
		Detail: fmt.Sprintf("What listens on %s belongs to %s, which is not the account of profitd. Nothing was sent to it.", options.Socket, owner),
		Hint:   "Is PROFITD_SOCKET right? If it is, tell whoever looks after this device.",
	}
}

// mayServe says whether the account with that SID is one that ClientOptions names.
func mayServe(owner string, options ClientOptions) (bool, error) {
	switch {
	case owner == systemSID, owner == administratorsSID:
		return true, nil
	case options.ServerAccount != "":
		account, err := lookupAccount(options.ServerAccount)
		return owner == account, err
	case owner == serviceSID("profitd"):
		return true, nil
	}
	own, err := ownSID()
	return owner == own, err
}

// lookupAccount returns the SID of an account's name, or of a SID.
func lookupAccount(account string) (string, error) {
	if sid, err := windows.StringToSid(account); err == nil {
		return sid.String(), nil
	}
	if service, found := strings.CutPrefix(strings.ToUpper(account), `NT SERVICE\`); found {
		return serviceSID(service), nil
	}
	sid, _, _, err := windows.LookupSID("", account)
	if err != nil {
		return "", fmt.Errorf("cannot find the account %q: %w", account, err)
	}
	return sid.String(), nil
}

// serviceSID returns the SID of the virtual account of a service, NT SERVICE\name: it follows from the name. Only who
// may install services can run anything as it.
func serviceSID(name string) string {
	var text []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(name))) {
		text = binary.LittleEndian.AppendUint16(text, unit)
	}
	sum := sha1.Sum(text)
	sid := "S-1-5-80"
	for part := sum[:]; len(part) > 0; part = part[4:] {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(part))
	}
	return sid
}

// ownSID returns that of the account that this process runs as.
func ownSID() (string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", fmt.Errorf("cannot tell which account this is: %w", err)
	}
	return user.User.Sid.String(), nil
}
