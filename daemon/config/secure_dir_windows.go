package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// dirAccess says in SDDL who may do what with a folder and what is made in it: %[1]s owns it, SYSTEM and Administrators
// may do everything, and the service, %[3]s, may do %[2]s. P: nothing comes from the folder above, in which, if it is
// C:\ProgramData, everybody may read and make files.
const dirAccess = "O:%[1]sD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;%[2]s;;;%[3]s)"

func secureDir(path string, opts DirOptions) error {
	own, elevated, err := runningAccount()
	if err != nil {
		return err
	}
	service := own
	if opts.Account != "" {
		if service, err = accountSID(opts.Account); err != nil {
			return err
		}
	}
	wanted, err := windows.SecurityDescriptorFromString(dirSDDL(own, elevated, service, opts.ReadOnly))
	if err != nil {
		return err
	}
	create := func() error {
		name, err := windows.UTF16PtrFromString(path)
		if err != nil {
			return err
		}
		attributes := windows.SecurityAttributes{SecurityDescriptor: wanted}
		attributes.Length = uint32(unsafe.Sizeof(attributes))
		if err := windows.CreateDirectory(name, &attributes); err != nil {
			return &fs.PathError{Op: "mkdir", Path: path, Err: err}
		}
		return nil
	}
	ours := func() (bool, error) {
		security, err := securityOf(path)
		if err != nil {
			return false, err
		}
		owner, _, err := accessTo(security)
		return slices.Contains([]string{systemSID, administratorsSID, trustedInstallerSID, service, own}, owner), err
	}
	mend := func() error {
		parts := windows.SECURITY_INFORMATION(windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION)
		if elevated {
			parts |= windows.OWNER_SECURITY_INFORMATION
		}
		owner, _, err := wanted.Owner()
		if err != nil {
			return err
		}
		list, _, err := wanted.DACL()
		if err != nil {
			return err
		}
		// What is in it inherits anew.
		err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, parts, owner, nil, list, nil)
		return os.NewSyscallError("SetNamedSecurityInfo", err)
	}
	return makeOrMend(path, opts, create, ours, mend)
}

// dirSDDL fills dirAccess in. An administrator's folder is all administrators': else his own programs could change it
// without being elevated.
func dirSDDL(own string, elevated bool, service string, readOnly bool) string {
	owner, may := own, "FA"
	if elevated {
		owner = administratorsSID
	}
	if readOnly {
		may = "FRFX"
	}
	return fmt.Sprintf(dirAccess, owner, may, service)
}

// runningAccount returns the SID of the running account, and whether it acts as an administrator.
func runningAccount() (sid string, elevated bool, err error) {
	token := windows.GetCurrentProcessToken()
	user, err := token.GetTokenUser()
	if err != nil {
		return "", false, fmt.Errorf("cannot tell which account this is: %w", err)
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return "", false, fmt.Errorf("cannot tell which account this is: %w", err)
	}
	for _, group := range groups.AllGroups() {
		enabled := group.Attributes&windows.SE_GROUP_ENABLED != 0 && group.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY == 0
		elevated = elevated || enabled && group.Sid.String() == administratorsSID
	}
	return user.User.Sid.String(), elevated, nil
}

// accountSID returns the SID of an account's name, or of a SID. The virtual account of the service has one before
// the service is installed.
func accountSID(account string) (string, error) {
	if strings.EqualFold(account, `NT SERVICE\profitd`) {
		return serviceSID, nil
	}
	if sid, err := windows.StringToSid(account); err == nil {
		return sid.String(), nil
	}
	sid, _, _, err := windows.LookupSID("", account)
	if err != nil {
		return "", fmt.Errorf("cannot find the account %s: %w", account, err)
	}
	return sid.String(), nil
}
