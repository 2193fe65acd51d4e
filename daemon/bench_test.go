package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// sizes are a workstation of many, a small terminal server, and a large one.
var sizes = []int{100, 1_000, 10_000}

// fleet is a terminal server: each account has its own Profit user, each with a token in the sealed keystore.
type fleet struct {
	dir     string
	profit  *profittest.Server
	options Options
}

var fleets = struct {
	sync.Mutex
	made map[int]*fleet
}{made: map[int]*fleet{}}

// TestMain takes away what the benchmarks share.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range fleets.made {
		f.profit.Close()
		os.RemoveAll(f.dir)
	}
	os.Exit(code)
}

// fleetOf makes a fleet, once.
func fleetOf(b *testing.B, size int) *fleet {
	b.Helper()
	fleets.Lock()
	defer fleets.Unlock()
	if f := fleets.made[size]; f != nil {
		return f
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "profitd-bench")
	must(err)
	f := &fleet{dir: dir, profit: profittest.NewServer()}
	fleets.made[size] = f
	f.options = Options{
		ConfigFile: filepath.Join(dir, "config.toml"), StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s"),
		Log: slog.New(slog.DiscardHandler), quiet: time.Millisecond,
	}
	f.profit.AddConnector(profittest.Connector{APIKey: "AAAA", EnvironmentKey: "BBBB"})
	var users strings.Builder
	users.WriteString("account,id\n")
	fmt.Fprintf(&users, "%s,12345.user0\n", self())
	for i := 1; i < size; i++ {
		fmt.Fprintf(&users, "user%d,12345.user%d\n", i, i)
	}
	must(os.WriteFile(filepath.Join(dir, "users.csv"), []byte(users.String()), 0o600))
	must(os.WriteFile(filepath.Join(dir, "root.pem"), f.profit.RootCA(), 0o644))
	f.write(b, "")
	conf, err := config.Load(f.options.ConfigFile, config.Options{})
	must(err)
	store, err := keystore.Open(b.Context(), keystore.Options{Backend: "sealed", Dir: f.options.StateDir})
	must(err)
	for _, user := range conf.Connectors[0].Users {
		f.profit.AddUser(profittest.User{ID: user.ID, Email: user.ID + "@example.com"})
		token := f.profit.IssueToken("AAAA", user.ID, "device of "+user.ID)
		must(store.Put(b.Context(), keystore.Item{
			Key: config.Identity(&conf.Connectors[0], user.ID), Label: "Payroll desktop, " + user.ID, Generation: 1, Secret: []byte(token.XML),
		}))
	}
	must(store.Close())
	f.start(b).end(b) // the first start makes the records
	return f
}

// write writes config.toml, with something behind it.
func (f *fleet) write(b *testing.B, more string) {
	b.Helper()
	keys := profittest.Connector{APIKey: "AAAA", EnvironmentKey: "BBBB"}
	text := settings + connectorTable("payroll", f.profit.URL(), keys, "users_file = \"users.csv\"\n"+more)
	if err := os.WriteFile(f.options.ConfigFile, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// served is a fleet's service while it runs.
type served struct {
	*Daemon
	stop  context.CancelFunc
	ended chan error
}

// start starts the service; it is ready when this returns.
func (f *fleet) start(b *testing.B) *served {
	b.Helper()
	d, err := New(b.Context(), f.options)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{d, cancel, make(chan error, 1)}
	ready := make(chan struct{})
	go func() { s.ended <- d.Run(ctx, func() { close(ready) }) }()
	<-ready
	return s
}

func (s *served) end(b *testing.B) {
	b.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		b.Fatal(err)
	}
}

// growth is what one entry, or one request, costs, by the number of entries.
type growth map[int]float64

// report reports what one entry costs and how that compares with the size before: above 1, the cost grows faster than
// the number of entries.
func (g growth) report(b *testing.B, size int, cost float64, unit string) {
	g[size] = cost / float64(size)
	b.ReportMetric(g[size], unit+"/entry")
	g.hold(b, size)
}

// mostGrowth is how much more one of 10,000 may cost than one of 100. It is above 1 because machines are noisy.
const mostGrowth = 1.3

// hold compares with the size before, and holds what is meant over all sizes.
func (g growth) hold(b *testing.B, size int) {
	if before := g[size/10]; before > 0 {
		b.ReportMetric(g[size]/before, "growth")
	}
	if first := g[sizes[0]]; size == 10_000 && first > 0 && g[size] > mostGrowth*first {
		b.Errorf("with %d entries it costs %.2f times what it does with %d; at most %.1f times is meant", size, g[size]/first, sizes[0], mostGrowth)
	}
}

// perOp is what one round has cost.
func perOp(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N) }

// BenchmarkStart is the time from nothing until requests are answered.
func BenchmarkStart(b *testing.B) {
	g := growth{}
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := fleetOf(b, size)
			b.ResetTimer()
			for range b.N {
				s := f.start(b)
				b.StopTimer()
				if got := s.counts()["active"]; got != size {
					b.Fatalf("%d of %d tokens are there", got, size)
				}
				s.end(b)
				b.StartTimer()
			}
			g.report(b, size, perOp(b), "ns")
		})
	}
}

// BenchmarkReload is the time from looking at a changed configuration until it is in force: with a line that means
// nothing, and with one that changes every record.
func BenchmarkReload(b *testing.B) {
	for name, more := range map[string][2]string{
		"little": {"# one\n", "# two\n"},
		"much":   {"integration_id = \"12345_1\"\n", "integration_id = \"12345_2\"\n"},
	} {
		g := growth{}
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				f := fleetOf(b, size)
				s := f.start(b)
				defer s.end(b)
				defer f.write(b, "")
				b.ResetTimer()
				for i := range b.N {
					b.StopTimer()
					f.write(b, more[i%2])
					before := s.inForce.Load()
					b.StartTimer()
					s.Reload(b.Context())
					if s.inForce.Load() == before {
						b.Fatal("it is not in force")
					}
				}
				g.report(b, size, perOp(b), "ns")
			})
		}
	}
}

// BenchmarkHeap is what the service holds in memory once everybody has asked for their token.
func BenchmarkHeap(b *testing.B) {
	g := growth{}
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := fleetOf(b, size)
			var bytes float64
			for range b.N {
				before := heap()
				s := f.start(b)
				for _, x := range s.inForce.Load().all() {
					peer := person(x.line.Accounts[0])
					if _, err := s.Token(b.Context(), peer, x.ref, ipc.TokenQuery{}); err != nil {
						b.Fatal(err)
					}
				}
				bytes = heap() - before
				s.end(b)
			}
			b.ReportMetric(bytes/(1<<20), "MiB")
			g.report(b, size, bytes, "B")
		})
	}
}

func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapInuse)
}

// BenchmarkToken is the cost of a token request over the socket, on a connection that is kept.
func BenchmarkToken(b *testing.B) {
	cost := growth{}
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := fleetOf(b, size)
			s := f.start(b)
			defer s.end(b)
			client := ipc.NewClient(ipc.ClientOptions{Socket: f.options.Socket})
			defer client.Close()
			ref := payroll("12345.user0")
			if _, err := client.Token(b.Context(), ref, ipc.TokenQuery{}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := client.Token(b.Context(), ref, ipc.TokenQuery{}); err != nil {
					b.Fatal(err)
				}
			}
			if b.N >= 1000 { // fewer say nothing: the first ones warm up
				cost[size] = perOp(b)
				cost.hold(b, size)
			}
		})
	}
}

// BenchmarkRoles is the cost of asking for rights, which each request does twice.
func BenchmarkRoles(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := fleetOf(b, size)
			s := f.start(b)
			defer s.end(b)
			peers := make([]*ipc.Peer, 64)
			refs := make([]ipc.Ref, len(peers))
			for i := range peers {
				n := rand.IntN(size-1) + 1
				peers[i] = person(fmt.Sprintf("user%d", n), fmt.Sprintf("uid:%d", 1000+n), "+users", "+gid:100")
				refs[i] = payroll(fmt.Sprintf("12345.user%d", n))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				at := i % len(peers)
				if s.Roles(peers[at], refs[at])&s.Roles(peers[at], payroll(""))&s.Roles(peers[at], ipc.Ref{}) != ipc.Local|ipc.Owner {
					b.Fatal("it is not the account's")
				}
			}
		})
	}
}
