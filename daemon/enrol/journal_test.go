package enrol

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profitd/profitd/profit/profittest"
)

// One process uses a state directory; a second one says so.
func TestOneProcessPerStateDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		journal, err := OpenJournal(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(dir, nil); err == nil || !strings.Contains(err.Error(), "another profitd") {
			t.Errorf("the second one: %v", err)
		}
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
		if journal, err = OpenJournal(dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A journal that is damaged, wherever, is set aside or read, but never ends the service.
func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	journal, err := OpenJournal(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]*record{}
	for i := range 200 {
		records[fmt.Sprint(i)] = &record{Status: Status{State: Active, Since: time.Now()}, Generation: 1, Holds: 1}
	}
	last := map[string]*record{"0": records["0"]} // bbolt falls back by one transaction when a meta page is damaged
	if err := errors.Join(journal.put(records), journal.put(last), journal.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "enrolments.db"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(content []byte) int {
		t.Helper()
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		// Not t.TempDir: where bbolt panicked, Windows keeps the file until the process ends.
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.WriteFile(filepath.Join(dir, "enrolments.db"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		journal, err := OpenJournal(dir, nil)
		if err != nil {
			t.Errorf("%v", err)
			return 0
		}
		defer journal.Close()
		if aside, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*")); len(journal.records) == 0 && len(aside) == 0 && len(content) > 0 {
			t.Error("nothing was read and nothing set aside")
		}
		return len(journal.records)
	}
	if n := open(whole); n != 200 {
		t.Fatalf("%d records", n)
	}
	open(nil)
	open([]byte("this is no database"))
	page := os.Getpagesize()
	for size := page / 2; size < len(whole); size += page / 2 {
		open(whole[:size])
	}
	for at := 0; at < len(whole); at += page {
		for _, garbage := range []byte{0, 0xff} {
			damaged := []byte(string(whole))
			for i := range min(page, len(damaged)-at) {
				damaged[at+i] = garbage
			}
			open(damaged)
		}
	}
}

// A record that cannot be written stops what it would be about: nothing is asked of Profit that is not on disk.
func TestUnwritableRecord(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan").onRequest = true
		d.start()
		e := d.life.enrol
		if err := d.life.journal.db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Ask(d.key(), "jan"); kindOf(err) != RecordUnavailable {
			t.Errorf("who asks gets %v", err)
		}
		if _, err := e.Reset(t.Context(), d.key(), false, true, false, "ria"); kindOf(err) != RecordUnavailable {
			t.Errorf("who resets gets %v", err)
		}
		d.pass(time.Hour)
		d.is(d.key(), Idle, ReasonNew, 0)
	})
}

// What has happened is shown although the record cannot be written, and is written as soon as it can be.
func TestRecordCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T, d *device) {
		d.add("payroll", "jan")
		d.profit.Fault(profittest.Fault{Delay: time.Second, Times: 1})
		d.start()
		e, journal := d.life.enrol, d.life.journal
		if err := journal.db.Close(); err != nil {
			t.Fatal(err)
		}
		d.pass(time.Minute)
		d.is(d.key(), AwaitingCode, ReasonNew, 1)
		if _, err := d.activate(d.key()); kindOf(err) != RecordUnavailable {
			t.Errorf("a code is tried: %v", err)
		}
		db, _, err := readJournal(filepath.Join(d.life.dir, "enrolments.db"))
		if err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		journal.db = db
		e.mu.Unlock()
		d.pass(keystoreRetry)
		if r := d.life.onDisk()[d.key()]; r.State != AwaitingCode || r.Sending {
			t.Errorf("on disk: %+v", r)
		}
		if view, err := d.activate(d.key()); err != nil || view.State() != Active {
			t.Error(err)
		}
	})
}
