package config

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Time and memory grow no faster than the number of users: a terminal server has thousands.
func BenchmarkLoad(b *testing.B) {
	for _, users := range []int{100, 1_000, 10_000} {
		var tables, csv strings.Builder
		for i := range users {
			fmt.Fprintf(&tables, "[[connectors.payroll.users]]\nid = \"12345.user%05d\"\naccounts = [\"user%05d\"]\n", i, i)
			fmt.Fprintf(&csv, "user%05d,12345.user%05d\n", i, i)
		}
		for name, files := range map[string]map[string]string{
			"tables":     {"config.toml": payroll + tables.String()},
			"users_file": {"config.toml": payroll + "users_file = \"users.csv\"\n", "users.csv": csv.String()},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, users), func(b *testing.B) {
				path := filepath.Join(folder(b, files), "config.toml")
				b.ReportAllocs()
				var c *Config
				for b.Loop() {
					var err error
					c, err = Load(path, Options{})
					must(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(users), "µs/user")
				b.ReportMetric(float64(retained(b, path))/float64(users), "B-kept/user")
				runtime.KeepAlive(c)
			})
		}
	}
}

// retained is what one Config keeps in memory.
func retained(b *testing.B, path string) int64 {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	c, err := Load(path, Options{})
	must(b, err)
	after := heap()
	runtime.KeepAlive(c)
	return after - before
}
