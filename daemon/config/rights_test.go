//go:build unix

package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test must run as root to give files away")
		}
		t.Skip("this test gives files away, which root alone can do")
	}
}

// Whoever can change the files decides who gets tokens; whoever can read them has the keys. Each refusal names the
// command that mends it, and that command does mend it.
func TestRights(t *testing.T) {
	const other = 12345 // neither root nor the running account
	group := 777        // the service's; without root, files can only be of the tester's own
	if os.Geteuid() != 0 {
		group = os.Getegid()
	}
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir string) error
		want   string // the command; empty: fine
	}{
		{"0600", func(*testing.T, string) error { return nil }, ""},
		{"0644 root", mode("config.toml", 0o644), "chmod o-r DIR/config.toml"},
		{"0640 of root's group", mode("config.toml", 0o640), ""},
		{"0660", mode("config.toml", 0o660), "chmod g-w,o-w DIR/config.toml"},
		{"0666", mode("config.toml", 0o666), "chmod g-w,o-wr DIR/config.toml"},
		{"0640 of the service's group", chown("config.toml", 0, group, 0o640), ""},
		{"0640 of another group", chown("config.toml", 0, other, 0o640), "chmod g-r,o-r DIR/config.toml"},
		{"another's file", chown("config.toml", other, 0, 0o600), "chown -h 0 DIR/config.toml"},
		{"a part of config.d", mode("config.d/a.toml", 0o646), "chmod g-w,o-wr DIR/config.d/a.toml"},
		{"a key file", mode("key", 0o644), "chmod o-r DIR/key"},
		{"users", mode("users.csv", 0o644), "chmod o-r DIR/users.csv"},
		{"public certificates", mode("ca.pem", 0o644), ""},
		{"certificates that others write", mode("ca.pem", 0o646), "chmod g-w,o-w DIR/ca.pem"},
		{"config.d that others write", mode("config.d", 0o777), "chmod g-w,o-w DIR/config.d"},
		{"the folder", mode("", 0o775), "chmod g-w,o-w DIR"},
		{"another's folder", chown("", other, 0, 0o755), "chown -h 0 DIR"},
		{"a folder further up", func(t *testing.T, dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, "chmod g-w,o-w UP"},
		{"a sticky folder further up", func(t *testing.T, dir string) error { return os.Chmod(filepath.Dir(dir), os.ModeSticky|0o777) }, ""},
		{"a link into a folder that others write", func(t *testing.T, dir string) error {
			write(t, filepath.Join(dir, "it's here/x"), "941C")
			must(t, os.Chmod(filepath.Join(dir, "it's here"), 0o777))
			must(t, os.Remove(filepath.Join(dir, "key")))
			return os.Symlink("it's here/x", filepath.Join(dir, "key"))
		}, `chmod g-w,o-w 'DIR/it'\''s here'`},
		{"another's link in a sticky folder", func(t *testing.T, dir string) error {
			asRoot(t)
			link := filepath.Join(dir, "config.d/b.toml")
			must(t, os.Chmod(filepath.Join(dir, "config.d"), os.ModeSticky|0o777))
			must(t, os.Symlink("a.toml", link))
			return os.Lchown(link, other, 0)
		}, "chown -h 0 DIR/config.d/b.toml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t, map[string]string{
				"config.toml": strings.Replace(payroll, `environment_key = "941CKEY"`, `environment_key_file = "key"`, 1) +
					"users_file = \"users.csv\"\n[network]\nca_file = \"ca.pem\"\n",
				"config.d/a.toml": "#", "key": "941C", "users.csv": "jan,12345.jan\n", "ca.pem": certificate(t),
			})
			must(t, test.change(t, dir))
			_, err := Load(filepath.Join(dir, "config.toml"), Options{Group: group})
			if test.want == "" {
				must(t, err)
				return
			}
			want := strings.NewReplacer("DIR", dir, "UP", filepath.Dir(dir)).Replace(test.want)
			if err == nil || !strings.Contains(err.Error(), "; run: "+want) {
				t.Fatalf("got %v, want %s", err, want)
			}
			if strings.Count(err.Error(), "run:") != 1 {
				t.Errorf("one folder, several complaints: %v", err)
			}
			must(t, exec.Command("sh", "-c", want).Run())
			if _, err := Load(filepath.Join(dir, "config.toml"), Options{Group: group}); err != nil {
				t.Errorf("after %s: %v", want, err)
			}
		})
	}
}

func mode(name string, mode os.FileMode) func(*testing.T, string) error {
	return func(_ *testing.T, dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
}

func chown(name string, uid, gid int, mode os.FileMode) func(*testing.T, string) error {
	return func(t *testing.T, dir string) error {
		asRoot(t)
		must(t, os.Chown(filepath.Join(dir, name), uid, gid))
		return os.Chmod(filepath.Join(dir, name), mode)
	}
}

// On an instance of one's own, the files are one's own.
func TestOwner(t *testing.T) {
	asRoot(t)
	dir := folder(t, map[string]string{"config.toml": payroll})
	must(t, os.Chown(filepath.Join(dir, "config.toml"), 1000, 1000))
	if _, err := Load(filepath.Join(dir, "config.toml"), Options{Owner: 1000}); err != nil {
		t.Error(err)
	}
}

// A path that is no file is refused, and nothing waits for the other end of a pipe.
func TestNoFile(t *testing.T) {
	for name, test := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"missing":      {os.Remove, "cannot be read: no such file or directory"},
		"folder":       {func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) }, "no file but a folder"},
		"pipe":         {func(path string) error { os.Remove(path); return syscall.Mkfifo(path, 0o600) }, "no file but a pipe"},
		"device":       {func(path string) error { os.Remove(path); return os.Symlink("/dev/null", path) }, "no file but a device"},
		"endless":      {func(path string) error { os.Remove(path); return os.Symlink("/dev/zero", path) }, "no file but a device"},
		"link to self": {func(path string) error { os.Remove(path); return os.Symlink(path, path) }, "too many symbolic links"},
		"dead link":    {func(path string) error { os.Remove(path); return os.Symlink("nowhere", path) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder(t, map[string]string{"config.toml": payroll}), "config.toml")
			must(t, test.change(path))
			if _, err := Load(path, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// The command that a refusal names changes no content, and yet everything.
func TestWatchRights(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t, map[string]string{"config.toml": named("a")}), "config.toml")
	w := Watch(t.Context(), path, Options{})
	wantNext(t, w, "a")
	must(t, os.Chmod(path, 0o644))
	if next(t, w).Err == nil {
		t.Error("a readable file was taken")
	}
	must(t, os.Chmod(path, 0o600))
	wantNext(t, w, "a")
}
