//go:build linux

package keystore_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

// tools skips a test whose tools are not installed, except in CI.
func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed (apt-get install gnome-keyring dbus libsecret-tools libglib2.0-bin)", name)
	}
}

// onPrivateBus runs the calling test again in a process of its own, on a D-Bus session bus and with a home of its own,
// with a real GNOME Keyring. It returns true in that process.
func onPrivateBus(t *testing.T) bool {
	t.Helper()
	const inside = "KEYSTORE_TEST_INSIDE"
	if os.Getenv(inside) == t.Name() {
		startKeyring(t)
		return true
	}
	tools(t, "dbus-run-session", "gnome-keyring-daemon", "secret-tool", "gdbus")
	home, err := os.MkdirTemp("", "ks") // short: sockets lie in it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command("dbus-run-session", "--", self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), inside+"="+t.Name(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_DATA_HOME="+home+"/data",
		"XDG_CONFIG_HOME="+home+"/config", "XDG_CACHE_HOME="+home+"/cache", "TMPDIR="+home)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" (")) {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

func startKeyring(t *testing.T) {
	t.Helper()
	daemon := exec.Command("gnome-keyring-daemon", "--unlock", "--components=secrets", "--foreground")
	daemon.Stdin = strings.NewReader("pw")
	must(t, daemon.Start())
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	run(t, "", "gdbus", "wait", "--session", "--timeout", "20", "org.freedesktop.secrets")
	for deadline := time.Now().Add(20 * time.Second); ; {
		if strings.Contains(collections(t), "/collection/login'") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("GNOME Keyring has no login keyring")
		}
	}
}

func collections(t *testing.T) string {
	return run(t, "", "gdbus", "call", "--session", "--dest", "org.freedesktop.secrets", "--object-path", "/org/freedesktop/secrets",
		"--method", "org.freedesktop.DBus.Properties.Get", "org.freedesktop.Secret.Service", "Collections")
}

func lockKeyring(t *testing.T) {
	run(t, "", "gdbus", "call", "--session", "--dest", "org.freedesktop.secrets", "--object-path", "/org/freedesktop/secrets",
		"--method", "org.freedesktop.Secret.Service.Lock", "['/org/freedesktop/secrets/collection/login']")
}

// unlockKeyring does what a person does in GNOME Keyring's prompt; it has a D-Bus call of its own for tests.
func unlockKeyring(t *testing.T) {
	bus, err := dbus.SessionBus()
	must(t, err)
	service := bus.Object("org.freedesktop.secrets", "/org/freedesktop/secrets")
	var output dbus.Variant
	var session dbus.ObjectPath
	must(t, service.Call("org.freedesktop.Secret.Service.OpenSession", 0, "plain", dbus.MakeVariant("")).Store(&output, &session))
	password := struct {
		Session           dbus.ObjectPath
		Parameters, Value []byte
		ContentType       string
	}{session, nil, []byte("pw"), "text/plain"}
	must(t, service.Call("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface.UnlockWithMasterPassword", 0,
		dbus.ObjectPath("/org/freedesktop/secrets/collection/login"), password).Err)
}

func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}

func TestSecretService(t *testing.T) {
	if !onPrivateBus(t) {
		return
	}
	lookup := func(key string) string { return run(t, "", "secret-tool", "lookup", "profile", "profitd/"+key) }
	keystoretest.Run(t, func(t *testing.T) keystoretest.Fixture {
		s := open(t, keystore.Options{Backend: "secret-service", Dir: t.TempDir(), User: true})
		old, err := s.List(t.Context())
		must(t, err)
		for _, key := range old {
			must(t, s.Delete(t.Context(), key))
		}
		store := func(key, value string) {
			run(t, value, "secret-tool", "store", "--label=profitd/"+key, "profile", "profitd/"+key)
		}
		return keystoretest.Fixture{
			Store:   s,
			Corrupt: func(key string) { store(key, "garbage") },
			Swap: func(a, b string) {
				valueA, valueB := lookup(a), lookup(b)
				store(a, valueB)
				store(b, valueA)
			},
			Lock:   func() { lockKeyring(t) },
			Unlock: func() { unlockKeyring(t) },
		}
	})

	// What another program sees: an item of the login keyring, named after the identity.
	t.Run("from outside", func(t *testing.T) {
		s := open(t, keystore.Options{Backend: "secret-service", Dir: t.TempDir(), User: true})
		item := keystoretest.Token(7)
		must(t, s.Put(t.Context(), item))
		if got := lookup(item.Key); !strings.Contains(got, item.Label) {
			t.Errorf("secret-tool lookup = %q", got)
		}
		run(t, "", "secret-tool", "clear", "profile", "profitd/"+item.Key)
		if _, err := s.Get(t.Context(), item.Key); err == nil {
			t.Error("the item is still there")
		}
	})

	// Another application's items are neither listed nor touched.
	t.Run("neighbours", func(t *testing.T) {
		run(t, "theirs", "secret-tool", "store", "--label=mail", "profile", "mail")
		s := open(t, keystore.Options{Backend: "secret-service", Dir: t.TempDir(), User: true})
		keys, err := s.List(t.Context())
		must(t, err)
		for _, key := range keys {
			must(t, s.Delete(t.Context(), key))
		}
		if got := run(t, "", "secret-tool", "lookup", "profile", "mail"); got != "theirs" {
			t.Errorf("the neighbour's item is %q", got)
		}
	})

	// The choice of a collection is kept: a keyring that appears later does not hide the tokens.
	t.Run("collection", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, keystore.Options{Backend: "secret-service", Dir: dir, User: true})
		must(t, s.Probe(t.Context()))
		place, err := os.ReadFile(filepath.Join(dir, "keystore", "backend"))
		must(t, err)
		if want := `{"backend":"secret-service","collection":"login"}` + "\n"; string(place) != want {
			t.Errorf("backend = %s, want %s", place, want)
		}
		other := open(t, keystore.Options{Backend: "secret-service", Dir: t.TempDir(), Collection: "elsewhere", User: true})
		if s := other.Status(t.Context()); s.Healthy || !strings.Contains(s.Detail, `"elsewhere"`) {
			t.Errorf("Status = %+v", s)
		}
	})
}

// There and back again, with a keyring that is locked at the worst moment.
func TestMoveToSecretService(t *testing.T) {
	if !onPrivateBus(t) {
		return
	}
	dir := t.TempDir()
	start := func(backend string) keystore.Store { return open(t, keystore.Options{Backend: backend, Dir: dir}) }
	wantIn := func(s keystore.Store, backend string, healthy bool) {
		t.Helper()
		for n := range 5 {
			wantItem(t, s, keystoretest.Token(n))
		}
		if got := s.Status(t.Context()); got.Backend != backend || got.Healthy != healthy {
			t.Fatalf("Status = %+v", got)
		}
	}
	s := start("sealed")
	for n := range 5 {
		must(t, s.Put(t.Context(), keystoretest.Token(n)))
	}
	lockKeyring(t)
	wantIn(start("secret-service"), "sealed", false)
	unlockKeyring(t)
	wantIn(start("secret-service"), "secret-service", true)
	if _, err := os.Stat(record(dir, keystoretest.Token(1).Key)); err == nil {
		t.Error("the sealed records are still there")
	}
	wantIn(start("auto"), "secret-service", true)
	wantIn(start("sealed"), "sealed", true)
	if out, err := exec.Command("secret-tool", "lookup", "profile", "profitd/"+keystoretest.Token(1).Key).Output(); err == nil {
		t.Errorf("the keyring still has %s", out)
	}
}
