package enrol

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/profit"
)

// BenchmarkStart is a start with so many active entries, whose tokens lie in a sealed store: from the journal's file
// until every token is served.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ctx, dir := context.Background(), b.TempDir()
			store, err := keystore.Open(ctx, keystore.Options{Backend: "sealed", Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			entries := active(b, store, dir, n)
			for b.Loop() {
				journal, err := OpenJournal(dir, nil)
				if err != nil {
					b.Fatal(err)
				}
				e, err := New(Options{Journal: journal, Keystore: store})
				if err == nil {
					err = e.Reconcile(ctx, entries, Policy{})
				}
				if err != nil {
					b.Fatal(err)
				}
				if view := e.Handle(entries[n-1].Key).View(); view.State() != Active || view.Token.IsZero() {
					b.Fatalf("%+v", view.Status)
				}
				if err := e.Close(ctx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/entry")
		})
	}
}

// BenchmarkReload is a configuration put in force in which one entry of so many has changed.
func BenchmarkReload(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ctx, dir := context.Background(), b.TempDir()
			store, err := keystore.Open(ctx, keystore.Options{Backend: "sealed", Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			entries := active(b, store, dir, n)
			journal, err := OpenJournal(dir, nil)
			if err != nil {
				b.Fatal(err)
			}
			e, err := New(Options{Journal: journal, Keystore: store})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close(ctx)
			for b.Loop() {
				entries[0].Revision += "+"
				if err := e.Reconcile(ctx, entries, Policy{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// active fills a journal and a keystore with entries that are active.
func active(b *testing.B, store keystore.Store, dir string, n int) []Entry {
	network, err := profit.NewNetwork(profit.NetworkOptions{})
	if err != nil {
		b.Fatal(err)
	}
	client := network.Client(profit.Options{BaseURL: baseURL})
	records := map[string]*record{}
	entries := make([]Entry, n)
	for i := range entries {
		token, err := profit.ParseToken(fmt.Sprintf("<token><version>1</version><data>%064X</data></token>", i))
		if err != nil {
			b.Fatal(err)
		}
		x := Entry{
			Key: fmt.Sprintf("%064x", i), About: About{Connector: "payroll", User: fmt.Sprint(i)}, BaseURL: baseURL,
			Client: client, Revision: "1",
		}
		item := keystore.Item{Key: x.Key, Label: "payroll", Generation: 1, Secret: []byte(token.Secret())}
		if err := store.Put(b.Context(), item); err != nil {
			b.Fatal(err)
		}
		records[x.Key] = &record{
			About: x.About, BaseURL: baseURL, Revision: "1", Generation: 1, Holds: 1,
			Status: Status{State: Active, Since: time.Now(), Fingerprint: token.Fingerprint()},
		}
		entries[i] = x
	}
	journal, err := OpenJournal(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := journal.put(records); err != nil {
		b.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		b.Fatal(err)
	}
	return entries
}
