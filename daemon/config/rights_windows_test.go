package config

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/windows"
)

// Whoever can change the files decides who gets tokens; whoever can read them has the keys. Each refusal names the
// command that mends it. The lists are as Windows makes them, since Wine keeps none.
func TestRights(t *testing.T) {
	own, _, err := runningAccount()
	must(t, err)
	const admins = "(A;;FA;;;SY)(A;;FA;;;BA)"
	for _, test := range []struct {
		name    string
		mode    fs.FileMode
		private bool
		sddl    string
		want    string // reasons and commands; empty: fine
	}{
		{"as installed", 0, true, "O:BAD:PAI" + admins + "(A;;FR;;;" + serviceSID + ")", ""},
		{"one's own", 0, true, "O:" + own + "D:" + admins + "(A;;FA;;;" + own + ")", ""},
		{"of Windows itself", 0, true, "O:" + trustedInstallerSID + "D:(A;;FA;;;" + trustedInstallerSID + ")(A;;FA;;;OW)", ""},
		{"C:\\", fs.ModeDir, false, "O:" + trustedInstallerSID + "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", ""},
		{"C:\\ProgramData", fs.ModeDir, false, "O:SYD:PAI(A;OICIIO;GA;;;CO)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;CI;DCLCRPCR;;;BU)(A;OICI;0x1200a9;;;BU)", ""},
		{"certificates that all read", 0, false, "O:BAD:" + admins + "(A;;FR;;;BU)", ""},
		{"a denial", 0, true, "O:BAD:(D;;FA;;;BU)" + admins, ""},
		{"read by users", 0, true, "O:BAD:" + admins + "(A;;FR;;;BU)",
			`others can read it, and it may hold keys; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *S-1-5-32-545`},
		{"as made in ProgramData", 0, true, "O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)",
			`others can read it, and it may hold keys; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *S-1-5-32-545`},
		{"changed by users", 0, false, "O:BAD:" + admins + "(A;;0x1301bf;;;AU)",
			`others can change it; run: icacls "PATH" /inheritance:d && icacls "PATH" /grant:r "*S-1-5-11:R"`},
		{"one may give himself rights", 0, true, "O:BAD:" + admins + "(A;;WD;;;" + strangerSID + ")",
			`others can change it; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *` + strangerSID},
		{"one may take it", 0, true, "O:BAD:" + admins + "(A;;WO;;;" + strangerSID + ")",
			`others can change it; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *` + strangerSID},
		{"one may append", 0, true, "O:BAD:" + admins + "(A;;0x4;;;" + strangerSID + ")",
			`others can change it; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *` + strangerSID},
		{"anything to anybody, in two lines", 0, true, "O:BAD:(A;;FA;;;WD)(A;;FR;;;WD)(A;;GA;;;BU)",
			`others can change it, others can read it, and it may hold keys; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *S-1-1-0 /remove:g *S-1-5-32-545`},
		{"another's file", 0, true, "O:" + strangerSID + "D:" + admins,
			`it belongs to another account; run: icacls "PATH" /setowner *S-1-5-32-544`},
		{"nobody's file", 0, true, "D:" + admins, `it belongs to another account; run: icacls "PATH" /setowner *S-1-5-32-544`},
		{"no list", 0, true, "O:BA", `others can change it, others can read it, and it may hold keys; run: icacls "PATH" /inheritance:d && icacls "PATH" /remove:g *S-1-1-0`},
		{"a folder of which anything may be deleted", fs.ModeDir, false, "O:BAD:" + admins + "(A;OICI;0x40;;;BU)",
			`others can change it; run: icacls "PATH" /inheritance:d && icacls "PATH" /grant:r "*S-1-5-32-545:(OI)(CI)RX"`},
		{"another's folder that users change", fs.ModeDir, false, "O:" + strangerSID + "D:" + admins + "(A;OICI;0x1301bf;;;BU)",
			`it belongs to another account, others can change it; run: icacls "PATH" /setowner *S-1-5-32-544 && icacls "PATH" /inheritance:d && icacls "PATH" /grant:r "*S-1-5-32-545:(OI)(CI)RX"`},
		{"a link", fs.ModeSymlink, false, "O:BAD:" + admins + "(A;;0x1301bf;;;BU)", ""},
		{"another's junction", fs.ModeIrregular, false, "O:" + strangerSID + "D:" + admins, `it belongs to another account; run: icacls "PATH" /setowner *S-1-5-32-544`},
	} {
		t.Run(test.name, func(t *testing.T) {
			owner, grants := saidBy(t, test.sddl)
			err := newRights(Options{}).judge(`C:\etc\a file`, test.mode, test.private, owner, grants)
			got := ""
			if err != nil {
				got = err.Error()
			}
			want := test.want
			if want != "" {
				want = `C:\etc\a file cannot be trusted: ` + strings.ReplaceAll(want, "PATH", `C:\etc\a file`)
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// What is allowed under a condition is allowed; what is denied is not.
func TestKindsOfEntries(t *testing.T) {
	security := must1(windows.SecurityDescriptorFromString("O:BAD:(A;;FR;;;WD)"))
	list, _, err := security.DACL()
	must(t, err)
	var entry *windows.ACCESS_ALLOWED_ACE
	must(t, windows.GetAce(list, 0, &entry))
	for kind, want := range map[uint8]int{windows.ACCESS_ALLOWED_ACE_TYPE: 1, windows.ACCESS_DENIED_ACE_TYPE: 0, 9: 1, 10: 0} {
		entry.Header.AceType = kind
		if _, grants, err := accessTo(security); err != nil || len(grants) != want {
			t.Errorf("type %d: %v, %v", kind, grants, err)
		}
	}
}

// The list that counts is that of the file. Wine makes it of the mode that a program of Unix gave it.
func TestRightsOfFile(t *testing.T) {
	dir := folder(t, map[string]string{"config.toml": payroll})
	path := filepath.Join(dir, "config.toml")
	_, err := Load(path, Options{})
	must(t, err)
	list := must1(windows.ACLFromEntries([]windows.EXPLICIT_ACCESS{{
		AccessPermissions: windows.GENERIC_READ, AccessMode: windows.GRANT_ACCESS,
		Trustee: windows.TRUSTEE{TrusteeForm: windows.TRUSTEE_IS_SID, TrusteeValue: windows.TrusteeValueFromSID(must1(windows.StringToSid(everyoneSID)))},
	}}, nil))
	must(t, windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil))
	if _, err := Load(path, Options{}); err == nil || !strings.Contains(err.Error(), "others can read it") {
		t.Errorf("%v", err)
	}
	if _, err := Load(path, Options{SkipRights: true}); err != nil {
		t.Error(err)
	}
	var unchecked *rights
	must(t, unchecked.check(`C:\nowhere`, nil, true))
}

// The SID of a service follows from its name.
func TestServiceSID(t *testing.T) {
	for name, want := range map[string]string{"TrustedInstaller": trustedInstallerSID, "profitd": serviceSID} {
		var text []byte
		for _, unit := range utf16.Encode([]rune(strings.ToUpper(name))) {
			text = binary.LittleEndian.AppendUint16(text, unit)
		}
		sum, got := sha1.Sum(text), "S-1-5-80"
		for part := sum[:]; len(part) > 0; part = part[4:] {
			got += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(part))
		}
		if got != want {
			t.Errorf("%s: %s instead of %s", name, got, want)
		}
	}
}

// A file can be moved away while the service reads it: whoever does that need not try again.
func TestMovedWhileRead(t *testing.T) {
	path := filepath.Join(folder(t, map[string]string{"config.toml": "old"}), "config.toml")
	file, err := openFile(path)
	must(t, err)
	defer file.Close()
	must(t, os.Rename(path, path+".old"))
	write(t, path, "new")
	if text, err := io.ReadAll(file); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
}
