package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

const (
	strangerSID = "S-1-5-21-1000-2000-3000-1104"
	usersSID    = "S-1-5-32-545"

	everything = windows.ACCESS_MASK(windows.STANDARD_RIGHTS_REQUIRED | windows.SYNCHRONIZE | 0x1ff)
	reading    = windows.ACCESS_MASK(windows.FILE_GENERIC_READ | windows.FILE_GENERIC_EXECUTE)
)

// saidBy takes a security descriptor in SDDL apart.
func saidBy(t *testing.T, sddl string) (string, []grant) {
	t.Helper()
	security, err := windows.SecurityDescriptorFromString(sddl)
	must(t, err)
	owner, grants, err := accessTo(security)
	must(t, err)
	return owner, grants
}

// Who may do what in the service's folders: SYSTEM, Administrators and the service, nobody else, and nobody by
// inheritance. The file system of Wine keeps no such list, so it is looked at before Windows gets it.
func TestDirAccess(t *testing.T) {
	for _, test := range []struct {
		elevated, readOnly bool
		owner              string
		service            windows.ACCESS_MASK
	}{
		{false, false, strangerSID, everything},
		{false, true, strangerSID, reading},
		{true, false, administratorsSID, everything},
		{true, true, administratorsSID, reading},
	} {
		sddl := dirSDDL(strangerSID, test.elevated, serviceSID, test.readOnly)
		owner, grants := saidBy(t, sddl)
		want := []grant{{systemSID, everything}, {administratorsSID, everything}, {serviceSID, test.service}}
		if owner != test.owner || !slices.Equal(grants, want) || !strings.Contains(sddl, "D:P(") || strings.Count(sddl, "OICI") != 3 {
			t.Errorf("%+v: %s", test, sddl)
		}
		if err := newRights(Options{}).judge(`C:\x`, fs.ModeDir, false, administratorsSID, grants); err != nil {
			t.Errorf("its own folder is not trusted: %v", err)
		}
	}
}

// It is made, kept with what is in it, and no file is taken for it.
func TestSecureDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profitd")
	for range 2 {
		must(t, SecureDir(dir, DirOptions{}))
		security, err := securityOf(dir)
		must(t, err)
		_, grants, err := accessTo(security)
		must(t, err)
		own, _, err := runningAccount()
		must(t, err)
		for _, g := range grants {
			if !slices.Contains([]string{systemSID, administratorsSID, own}, g.sid) {
				t.Errorf("%s may do %x", g.sid, g.mask)
			}
		}
		must(t, os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600))
	}
	must(t, newRights(Options{}).check(dir, must1(os.Lstat(dir)), false))
	must(t, SecureDir(dir, DirOptions{Account: `NT SERVICE\profitd`, ReadOnly: true}))
	if err := SecureDir(filepath.Join(dir, "no", "such"), DirOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("makes what lies above: %v", err)
	}
	if err := SecureDir(filepath.Join(dir, "kept"), DirOptions{TakeOver: true}); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file: %v", err)
	}
}

// What somebody else has made is left alone, or moved aside with all that is in it. Under Wine everything is one's
// own, so here it is said to be another's.
func TestSecureDirOfAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profitd")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "config.toml"), nil, 0o600))
	create := func() error { return os.Mkdir(dir, 0o700) }
	foreign := func() (bool, error) { return false, nil }
	mend := func() error { t.Error("mends it"); return nil }
	if err := makeOrMend(dir, DirOptions{}, create, foreign, mend); !errors.Is(err, ErrForeign) {
		t.Errorf("%v", err)
	}
	must(t, makeOrMend(dir, DirOptions{TakeOver: true}, create, foreign, mend))
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("what was in it is in force: %v, %v", left, err)
	}
	if aside, err := filepath.Glob(dir + ".untrusted-*"); err != nil || len(aside) != 1 {
		t.Errorf("it is not aside: %v, %v", aside, err)
	}
}

func TestAccountSID(t *testing.T) {
	own, _, err := runningAccount()
	must(t, err)
	for account, want := range map[string]string{
		`NT SERVICE\profitd`: serviceSID, `nt service\PROFITD`: serviceSID, strangerSID: strangerSID, os.Getenv("USERNAME"): own,
	} {
		if got, err := accountSID(account); err != nil || got != want {
			t.Errorf("%s: %s, %v", account, got, err)
		}
	}
	if sid, err := accountSID("nobody-like-that"); err == nil {
		t.Errorf("found %s", sid)
	}
}

// must1 is must for what returns something besides.
func must1[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
