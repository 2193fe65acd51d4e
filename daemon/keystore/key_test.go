package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

// places is a state directory and a credentials directory.
type places struct{ state, credentials, file, credential string }

func newPlaces(t *testing.T) places {
	state, credentials := t.TempDir(), t.TempDir()
	return places{state, credentials, filepath.Join(state, "profitd.key"), filepath.Join(credentials, "profitd.key")}
}

func (p places) open(t *testing.T) keystore.Store {
	return open(t, keystore.Options{Backend: "sealed", Dir: p.state, CredentialsDir: p.credentials})
}

func write(t *testing.T, path string, data []byte) { must(t, os.WriteFile(path, data, 0o600)) }

func read(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func wantStatus(t *testing.T, s keystore.Store, healthy bool, key, detail string) {
	t.Helper()
	got := s.Status(t.Context())
	if got.Healthy != healthy || !strings.HasPrefix(got.Key, key) || !strings.Contains(got.Detail, detail) || detail == "" && got.Detail != "" {
		t.Fatalf("Status = %+v; want healthy %v, key %q, detail %q", got, healthy, key, detail)
	}
}

func wantItem(t *testing.T, s keystore.Store, want keystore.Item) {
	t.Helper()
	got, err := s.Get(t.Context(), want.Key)
	if err != nil || !bytes.Equal(got.Secret, want.Secret) {
		t.Fatalf("Get = %v, %v", got, err)
	}
}

func wantGetErr(t *testing.T, s keystore.Store, key string, want error) {
	t.Helper()
	if item, err := s.Get(t.Context(), key); !errors.Is(err, want) {
		t.Fatalf("Get = %v, %v; want %v", item, err, want)
	}
}

// The key file is made once, and the next start finds it.
func TestKeyFile(t *testing.T) {
	p := newPlaces(t)
	s := p.open(t)
	must(t, s.Put(t.Context(), keystoretest.Token(1)))
	first := read(t, p.file)
	if len(first) != 32 {
		t.Errorf("the key file has %d bytes", len(first))
	}
	s = p.open(t)
	wantItem(t, s, keystoretest.Token(1))
	wantStatus(t, s, true, "key file "+p.file, "")
	if !bytes.Equal(first, read(t, p.file)) {
		t.Error("the key file has changed")
	}
}

// From key file to credential: a new key in the credential seals everything anew at the next start, and the key file
// can go. Back: the credential's key becomes the key file.
func TestMoveToCredentialAndBack(t *testing.T) {
	p := newPlaces(t)
	must(t, p.open(t).Put(t.Context(), keystoretest.Token(1)))

	write(t, p.credential, bytes.Repeat([]byte("c"), 32))
	s := p.open(t)
	wantItem(t, s, keystoretest.Token(1))
	wantStatus(t, s, true, "systemd credential", "may be removed")
	must(t, os.Remove(p.file))
	s = p.open(t)
	wantItem(t, s, keystoretest.Token(1))
	wantStatus(t, s, true, "systemd credential", "")
	must(t, s.Put(t.Context(), keystoretest.Token(2)))
	if _, err := os.Stat(p.file); err == nil {
		t.Error("a key file was made beside the credential")
	}

	must(t, os.Rename(p.credential, p.file))
	s = p.open(t)
	wantItem(t, s, keystoretest.Token(1))
	wantItem(t, s, keystoretest.Token(2))
	wantStatus(t, s, true, "key file", "")
}

// A credential replaced by a new key for good: each token that is given up is counted down, and with the last one the
// store is healthy again, without a restart.
func TestReplacedCredential(t *testing.T) {
	p := newPlaces(t)
	write(t, p.credential, bytes.Repeat([]byte("c"), 32))
	s := p.open(t)
	for n := range 3 {
		must(t, s.Put(t.Context(), keystoretest.Token(n)))
	}
	write(t, p.credential, bytes.Repeat([]byte("d"), 32))
	s = p.open(t)
	for n := range 3 {
		wantStatus(t, s, false, "systemd credential", fmt.Sprintf("%d records are sealed by key", 3-n))
		must(t, s.Delete(t.Context(), keystoretest.Token(n).Key))
		must(t, s.Put(t.Context(), keystoretest.Token(n)))
	}
	wantStatus(t, s, true, "systemd credential", "")
}

// The package's upgrade wraps the key that is there: the same key in both places changes no record.
func TestWrappedKeyFile(t *testing.T) {
	p := newPlaces(t)
	must(t, p.open(t).Put(t.Context(), keystoretest.Token(1)))
	before := read(t, record(p.state, keystoretest.Token(1).Key))
	write(t, p.credential, read(t, p.file))
	s := p.open(t)
	wantStatus(t, s, true, "systemd credential", "may be removed")
	if !bytes.Equal(before, read(t, record(p.state, keystoretest.Token(1).Key))) {
		t.Error("the record was written anew")
	}
}

// A credential that is spoilt is set aside and said in status. No second key is made, nothing is overwritten, what is
// not stored yet is known to be so, and when the credential is repaired the tokens are there again.
func TestSpoiltCredential(t *testing.T) {
	for name, spoil := range map[string]func(p places){
		"wrong size":   func(p places) { write(t, p.credential, []byte("short")) },
		"empty":        func(p places) { write(t, p.credential, nil) },
		"too long":     func(p places) { write(t, p.credential, make([]byte, 33)) },
		"a directory":  func(p places) { must(t, os.Remove(p.credential)); must(t, os.Mkdir(p.credential, 0o700)) },
		"not there":    func(p places) { must(t, os.Remove(p.credential)) },
		"another key":  func(p places) { write(t, p.credential, make([]byte, 32)) },
		"no directory": func(p places) { must(t, os.RemoveAll(p.credentials)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaces(t)
			good := bytes.Repeat([]byte("c"), 32)
			write(t, p.credential, good)
			must(t, p.open(t).Put(t.Context(), keystoretest.Token(1)))
			before := read(t, record(p.state, keystoretest.Token(1).Key))

			spoil(p)
			s := p.open(t)
			wantGetErr(t, s, keystoretest.Token(1).Key, keystore.ErrUnavailable)
			wantGetErr(t, s, keystoretest.Token(2).Key, keystore.ErrNotFound)
			if err := s.Put(t.Context(), keystoretest.Token(1)); !errors.Is(err, keystore.ErrUnavailable) {
				t.Errorf("Put = %v", err)
			}
			if err := s.Probe(t.Context()); (err == nil) != (name == "another key") {
				t.Errorf("Probe = %v", err)
			}
			if got := s.Status(t.Context()); got.Healthy || !strings.Contains(got.Detail, "which is not at hand") {
				t.Errorf("Status = %+v", got)
			}
			if _, err := os.Stat(p.file); err == nil {
				t.Error("a second key was made")
			}

			must(t, os.RemoveAll(p.credential))
			must(t, os.MkdirAll(p.credentials, 0o700))
			write(t, p.credential, good)
			s = p.open(t)
			wantItem(t, s, keystoretest.Token(1))
			wantStatus(t, s, true, "systemd credential", "")
			if !bytes.Equal(before, read(t, record(p.state, keystoretest.Token(1).Key))) {
				t.Error("the record was written anew")
			}
		})
	}
}

// A spoilt credential on a machine that stores nothing yet does not keep the service from its work; once it is
// repaired, it seals.
func TestSpoiltCredentialWithoutRecords(t *testing.T) {
	p := newPlaces(t)
	write(t, p.credential, []byte("short"))
	s := p.open(t)
	must(t, s.Put(t.Context(), keystoretest.Token(1)))
	wantStatus(t, s, true, "key file", "set aside")
	write(t, p.credential, bytes.Repeat([]byte("c"), 32))
	s = p.open(t)
	wantItem(t, s, keystoretest.Token(1))
	wantStatus(t, s, true, "systemd credential", "may be removed")
}

// A crash before the key file is in place leaves none, and what it left is cleared away.
func TestTornKeyFile(t *testing.T) {
	p := newPlaces(t)
	write(t, filepath.Join(p.state, ".keystore-123.tmp"), []byte("half a key"))
	must(t, p.open(t).Put(t.Context(), keystoretest.Token(1)))
	wantItem(t, p.open(t), keystoretest.Token(1))
	entries, err := os.ReadDir(p.state)
	must(t, err)
	if len(entries) != 2 { // keystore, profitd.key
		t.Errorf("%v", entries)
	}
}

// What the last good configuration is sealed with survives a restart and the move to a credential while the key file
// is there.
func TestSealerAcrossRestarts(t *testing.T) {
	p := newPlaces(t)
	sealed, err := p.open(t).Sealer().Seal("config", []byte("plain"))
	must(t, err)
	write(t, p.credential, bytes.Repeat([]byte("c"), 32))
	got, err := p.open(t).Sealer().Open("config", sealed)
	if err != nil || string(got) != "plain" {
		t.Errorf("Open = %q, %v", got, err)
	}
	must(t, os.Remove(p.file))
	if _, err := p.open(t).Sealer().Open("config", sealed); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("without its key: %v", err)
	}
}

// The environment names the credentials directory unless Options do.
func TestCredentialsDirectoryOfTheEnvironment(t *testing.T) {
	p := newPlaces(t)
	write(t, p.credential, bytes.Repeat([]byte("c"), 32))
	t.Setenv("CREDENTIALS_DIRECTORY", p.credentials)
	s, err := keystore.Open(context.Background(), keystore.Options{Backend: "sealed", Dir: p.state})
	must(t, err)
	wantStatus(t, s, true, "systemd credential", "")
}

// What became of a credential that was not given to the service stands in its status, unless another one is there.
func TestCredentialTrouble(t *testing.T) {
	p := newPlaces(t)
	p.open(t)
	o := keystore.Options{Backend: "sealed", Dir: p.state, CredentialsDir: p.credentials}
	t.Setenv("PROFITD_CREDENTIAL_TROUBLE", "it does not open")
	s, err := keystore.Open(context.Background(), o)
	must(t, err)
	wantStatus(t, s, true, "key file", "the systemd credential is set aside: it does not open")

	write(t, p.credential, read(t, p.file))
	s, err = keystore.Open(context.Background(), o)
	must(t, err)
	if d := s.Status(t.Context()).Detail; strings.Contains(d, "does not open") {
		t.Errorf("detail %q", d)
	}
}
