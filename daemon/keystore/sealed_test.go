package keystore_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

func open(t *testing.T, o keystore.Options) keystore.Store {
	t.Helper()
	s, err := keystore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(dir, key string) string { return filepath.Join(dir, "keystore", key+".sealed") }

func TestSealed(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Fixture {
		dir := t.TempDir()
		o := keystore.Options{Backend: "sealed", Dir: dir}
		keyFile := filepath.Join(dir, "profitd.key")
		return keystoretest.Fixture{
			Store: open(t, o),
			Corrupt: func(key string) {
				data, err := os.ReadFile(record(dir, key))
				must(t, err)
				data[len(data)-20] ^= 1
				must(t, os.WriteFile(record(dir, key), data, 0o600))
			},
			Swap: func(a, b string) {
				must(t, os.Rename(record(dir, a), record(dir, "c")))
				must(t, os.Rename(record(dir, b), record(dir, a)))
				must(t, os.Rename(record(dir, "c"), record(dir, b)))
			},
			HideKey: func() keystore.Store {
				must(t, os.Rename(keyFile, keyFile+".away"))
				return open(t, o)
			},
			ShowKey: func() keystore.Store {
				must(t, os.Rename(keyFile+".away", keyFile))
				return open(t, o)
			},
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A record cut off at any byte, or with any bit turned, is lost, or unavailable if what changed is the name of its
// key or format; it is never served.
func TestTornRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	item := keystoretest.Token(1)
	must(t, s.Put(t.Context(), item))
	path := record(dir, item.Key)
	whole := read(t, path)
	for n := range whole {
		write(t, path, whole[:n])
		wantGetErr(t, s, item.Key, keystore.ErrLost)
	}
	write(t, path, append(bytes.Clone(whole), 0))
	wantGetErr(t, s, item.Key, keystore.ErrLost)
	for bit := range len(whole) * 8 {
		turned := bytes.Clone(whole)
		turned[bit/8] ^= 1 << (bit % 8)
		write(t, path, turned)
		got, err := s.Get(t.Context(), item.Key)
		named := bit/8 < len("profitd sealed 1\n")+8
		if !errors.Is(err, keystore.ErrLost) && !(named && errors.Is(err, keystore.ErrUnavailable)) {
			t.Errorf("bit %d turned: %v, %v", bit, got, err)
		}
	}
	write(t, path, whole)
	wantItem(t, s, item)
}

// A record that a later profitd wrote is not lost to an earlier one, nor overwritten by it.
func TestLaterFormat(t *testing.T) {
	dir := t.TempDir()
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	later := append([]byte("profitd sealed 22\n"), make([]byte, 100)...)
	write(t, record(dir, "abc"), later)
	wantGetErr(t, s, "abc", keystore.ErrUnavailable)
	if err := s.Put(t.Context(), keystore.Item{Key: "abc"}); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("Put = %v", err)
	}
	if !bytes.Equal(read(t, record(dir, "abc")), later) {
		t.Error("the record was overwritten")
	}
}

// A record that cannot be read for now, and a directory that is away, are not lost.
func TestUnreadableRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	must(t, s.Put(t.Context(), keystoretest.Token(1)))
	must(t, os.Mkdir(record(dir, "abc"), 0o700)) // reading it fails, even for root
	wantGetErr(t, s, "abc", keystore.ErrUnavailable)
	must(t, os.Rename(filepath.Join(dir, "keystore"), filepath.Join(dir, "away")))
	wantGetErr(t, s, keystoretest.Token(1).Key, keystore.ErrUnavailable)
	if _, err := s.List(t.Context()); !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("List = %v", err)
	}
	must(t, os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "keystore")))
	wantItem(t, s, keystoretest.Token(1))
}

// Neither the secret nor the label can be read in the state directory.
func TestNothingShows(t *testing.T) {
	dir := t.TempDir()
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	item := keystoretest.Token(1)
	must(t, s.Put(t.Context(), item))
	data := read(t, record(dir, item.Key))
	if bytes.Contains(data, []byte("token")) || bytes.Contains(data, []byte("Payroll")) {
		t.Errorf("%q", data)
	}
}

// The process is killed in the middle of writes, again and again. Whatever was there before a write or after it is
// there, whole, and no generation that Put said to be durable is gone.
func TestKill(t *testing.T) {
	if dir := os.Getenv("KEYSTORE_TEST_WRITER"); dir != "" {
		writeForEver(t, dir)
	}
	dir := t.TempDir()
	durable := map[string]uint64{}
	for round := range 40 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "KEYSTORE_TEST_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var key string
			var generation uint64
			if _, err := fmt.Sscanf(lines.Text(), "put %s %d", &key, &generation); err != nil {
				t.Fatalf("the writer says: %s", lines.Text())
			}
			durable[key] = generation
			if n == 3 {
				// At any moment of the next writes; and read on: what it said before it died counts.
				time.AfterFunc(rand.N(10*time.Millisecond), func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()

		s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
		for key, generation := range durable {
			item, err := s.Get(t.Context(), key)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if item.Generation != generation && item.Generation != generation+1 || !bytes.Equal(item.Secret, secretOf(item.Generation)) {
				t.Fatalf("round %d: generation %d, want %d or the next; %d bytes", round, item.Generation, generation, len(item.Secret))
			}
			durable[key] = item.Generation
		}
		names, err := os.ReadDir(filepath.Join(dir, "keystore"))
		must(t, err)
		if len(names) != 1+len(durable) { // and backend
			t.Fatalf("round %d left %v", round, names)
		}
	}
}

// writeForEver is the writer of TestKill: it says on standard output what is durable.
func writeForEver(t *testing.T, dir string) {
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	for i := 0; ; i++ {
		key := fmt.Sprint("key", i%2)
		item, err := s.Get(t.Context(), key)
		if err != nil && !errors.Is(err, keystore.ErrNotFound) {
			t.Fatal(err)
		}
		item.Generation++
		must(t, s.Put(t.Context(), keystore.Item{Key: key, Generation: item.Generation, Secret: secretOf(item.Generation)}))
		fmt.Println("put", key, item.Generation)
	}
}

// secretOf has another length for each generation, so that a mixture shows, and takes a while to write.
func secretOf(generation uint64) []byte {
	return bytes.Repeat([]byte{byte(generation)}, 1<<20+int(generation*7919%20000))
}

// On a full disk the old record stays, whole; probing says that writing would fail, and status says why.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	smallDisk(t, dir)
	s := open(t, keystore.Options{Backend: "sealed", Dir: dir})
	item := keystoretest.Token(1)
	must(t, s.Put(t.Context(), item))

	f, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	changed := item
	changed.Secret = bytes.Repeat([]byte("changed"), 2000)
	for range 2 {
		if err := s.Put(t.Context(), changed); !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("Put = %v", err)
		}
		if err := s.Probe(t.Context()); !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("Probe = %v", err)
		}
	}
	wantItem(t, s, item)
	wantStatus(t, s, false, "key file", "no space left")
	again := open(t, keystore.Options{Backend: "sealed", Dir: dir}) // a start on a full disk
	wantItem(t, again, item)

	must(t, os.Remove(f.Name()))
	must(t, s.Put(t.Context(), changed))
	wantItem(t, s, changed)
	wantStatus(t, s, true, "key file", "")
}

// Nothing but the directory listing grows with the number of records, and a start reads them all in well under 2 s.
func BenchmarkGet10000(b *testing.B) {
	dir := b.TempDir()
	s, err := keystore.Open(b.Context(), keystore.Options{Backend: "sealed", Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 10_000 {
		if err := s.Put(b.Context(), keystoretest.Token(n)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		s, err := keystore.Open(b.Context(), keystore.Options{Backend: "sealed", Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		for n := range 10_000 {
			if _, err := s.Get(b.Context(), keystoretest.Token(n).Key); err != nil {
				b.Fatal(err)
			}
		}
	}
}
