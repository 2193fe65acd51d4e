package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// SIDs of accounts that may do anything on this computer, and of those that an access list may name besides.
const (
	systemSID           = "S-1-5-18"
	administratorsSID   = "S-1-5-32-544"
	trustedInstallerSID = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	ownerRightsSID      = "S-1-3-4" // of whoever owns it, who is looked at anyway
	// serviceSID is that of NT SERVICE\profitd: it follows from the name, and only who may install services can run
	// anything as it.
	serviceSID = "S-1-5-80-1517113552-292171020-1818503896-2395554821-2527262163"
)

// rights says who may own, write and read the configuration: SIDs.
type rights struct{ trusted []string }

func newRights(Options) *rights {
	r := &rights{[]string{systemSID, administratorsSID, trustedInstallerSID, ownerRightsSID, serviceSID}}
	if user, err := windows.GetCurrentProcessToken().GetTokenUser(); err == nil {
		r.trusted = append(r.trusted, user.User.Sid.String())
	}
	return r
}

// What may be done with a file or folder, beyond reading it, that changes it or lets somebody change it. Adding to a
// folder is not among it: anybody may do that in C:\ProgramData, and what he adds is his.
const (
	changesAnything windows.ACCESS_MASK = windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL
	changesFile                         = changesAnything | windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.GENERIC_WRITE
	changesFolder                       = changesAnything | fileDeleteChild
	readsFile       windows.ACCESS_MASK = windows.FILE_READ_DATA | windows.GENERIC_READ | windows.GENERIC_ALL

	fileDeleteChild windows.ACCESS_MASK = 0x40
)

// check refuses what others can change or, where private, read, with the command that mends it.
func (r *rights) check(path string, info fs.FileInfo, private bool) error {
	if r == nil {
		return nil
	}
	security, err := securityOf(path)
	if err != nil {
		return cannotRead(path, err)
	}
	owner, entries, err := accessTo(security)
	if err != nil {
		return cannotRead(path, err)
	}
	return r.judge(path, info.Mode(), private, owner, entries)
}

// grant is what an access list allows somebody.
type grant struct {
	sid  string
	mask windows.ACCESS_MASK
}

const everyoneSID = "S-1-1-0"

// judge is check, on what the security descriptor says. Its commands are for cmd and PowerShell alike.
func (r *rights) judge(path string, mode fs.FileMode, private bool, owner string, grants []grant) error {
	var reasons, commands []string
	quoted := `"` + path + `"`
	if !slices.Contains(r.trusted, owner) {
		reasons = append(reasons, "it belongs to another account")
		commands = append(commands, "icacls "+quoted+" /setowner *"+administratorsSID)
	}
	changes, left := changesFile, ":R"
	if mode.IsDir() {
		changes, left = changesFolder, ":(OI)(CI)RX"
	}
	private = private && mode.IsRegular()
	var change, read bool
	var others []string
	for _, g := range grants {
		if slices.Contains(r.trusted, g.sid) || mode&linkModes != 0 { // to change a link is to replace it
			continue
		}
		isChange, isRead := g.mask&changes != 0, private && g.mask&readsFile != 0
		change, read = change || isChange, read || isRead
		if (isChange || isRead) && !slices.Contains(others, g.sid) {
			others = append(others, g.sid)
		}
	}
	if change {
		reasons = append(reasons, "others can change it")
	}
	if read {
		reasons = append(reasons, "others can read it, and it may hold keys")
	}
	if others != nil {
		// What is inherited has to become the file's own first.
		commands = append(commands, "icacls "+quoted+" /inheritance:d")
		command := "icacls " + quoted
		for _, sid := range others {
			if private {
				command += " /remove:g *" + sid
			} else {
				command += ` /grant:r "*` + sid + left + `"`
			}
		}
		commands = append(commands, command)
	}
	if reasons == nil {
		return nil
	}
	return &fileError{path, "cannot be trusted: " + strings.Join(reasons, ", ") + "; run: " + strings.Join(commands, " && "), nil}
}

const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// securityOf reads owner and access list of what lies at path itself, be it a link.
func securityOf(path string) (*windows.SECURITY_DESCRIPTOR, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	handle, err := windows.CreateFile(name, windows.READ_CONTROL, shareAll, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer windows.CloseHandle(handle)
	security, err := windows.GetSecurityInfo(handle, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return nil, &fs.PathError{Op: "GetSecurityInfo", Path: path, Err: err}
	}
	return security, nil
}

// accessTo takes a security descriptor apart. What is only for others to inherit is left out, and so is what denies:
// it could only take away from what is allowed.
func accessTo(security *windows.SECURITY_DESCRIPTOR) (owner string, grants []grant, err error) {
	sid, _, err := security.Owner()
	if err != nil {
		return "", nil, fmt.Errorf("its owner is not known: %w", err)
	}
	if sid != nil {
		owner = sid.String()
	}
	list, _, err := security.DACL()
	if err != nil && !errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) {
		return "", nil, fmt.Errorf("its access list is not known: %w", err)
	}
	if list == nil { // no list at all is no restriction
		return owner, []grant{{everyoneSID, windows.GENERIC_ALL}}, nil
	}
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &entry); err != nil {
			return "", nil, fmt.Errorf("its access list is not known: %w", err)
		}
		const callback = 9 // ACCESS_ALLOWED_CALLBACK_ACE_TYPE: under a condition
		isAllowed := entry.Header.AceType == windows.ACCESS_ALLOWED_ACE_TYPE || entry.Header.AceType == callback
		if isAllowed && entry.Header.AceFlags&windows.INHERIT_ONLY_ACE == 0 {
			grants = append(grants, grant{(*windows.SID)(unsafe.Pointer(&entry.SidStart)).String(), entry.Mask})
		}
	}
	return owner, grants, nil
}

// openFile opens a file that walk has resolved. Unlike os.Open it lets others delete or rename the file at that moment.
func openFile(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	handle, err := windows.CreateFile(name, windows.GENERIC_READ, shareAll, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(handle), path), nil
}
