package daemon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
)

// process is the service as a program of its own, as systemd runs it.
type process struct {
	*exec.Cmd
	errors bytes.Buffer
}

// program builds cmd/profitd.
func program(b testing.TB) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "profitd")
	command := exec.Command("go", "build", "-o", path, "../cmd/profitd")
	command.Env = append(command.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		b.Fatalf("cannot build profitd: %s", output)
	}
	return path
}

// run starts the program on the options' files, and returns when it answers.
func run(b testing.TB, path string, options Options) *process {
	b.Helper()
	p := &process{Cmd: exec.Command(path, "run", "--config", options.ConfigFile, "--state-dir", options.StateDir, "--socket", options.Socket)}
	p.Stderr = &p.errors
	if err := p.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.end(b) })
	client := ipc.NewClient(ipc.ClientOptions{Socket: options.Socket})
	defer client.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := client.Whoami(b.Context())
		if err == nil {
			return p
		}
		if time.Now().After(deadline) {
			b.Fatalf("it does not answer: %v\n%s", err, p.errors.String())
		}
	}
}

func (p *process) end(b testing.TB) {
	if p.ProcessState == nil {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			b.Errorf("%v\n%s", err, p.errors.String())
		}
	}
}

// status reads numbers of /proc/PID/status, or of all its threads together.
func (p *process) status(b testing.TB, field string, threads bool) (sum int) {
	b.Helper()
	pattern := fmt.Sprintf("/proc/%d/status", p.Process.Pid)
	if threads {
		pattern = fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid)
	}
	files, _ := filepath.Glob(pattern)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, field+":"); found {
				n, err := strconv.Atoi(strings.Fields(value)[0])
				if err != nil {
					b.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

// What the program may take of the machine's memory, in MiB.
const (
	mostFor10000 = 64
	mostWhenIdle = 25
)

// mostWakes is how often an idle service may wake up in a minute.
const mostWakes = 2

// BenchmarkMemory is what the program takes of the machine's memory, once it answers and at most until then.
func BenchmarkMemory(b *testing.B) {
	path := program(b)
	g := growth{}
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := fleetOf(b, size)
			for range b.N {
				p := run(b, path, f.options)
				client := ipc.NewClient(ipc.ClientOptions{Socket: f.options.Socket})
				for range 20_000 { // garbage comes with use
					if _, err := client.Token(b.Context(), payroll("12345.user0"), ipc.TokenQuery{}); err != nil {
						b.Fatal(err)
					}
				}
				client.Close()
				taken := float64(p.status(b, "VmRSS", false)) / 1024
				b.ReportMetric(taken, "MiB")
				if size <= 10_000 && taken > mostFor10000 {
					b.Errorf("%.1f MiB, at most %d are meant", taken, mostFor10000)
				}
				b.ReportMetric(float64(p.status(b, "RssAnon", false))/1024, "MiB-anon")
				b.ReportMetric(float64(p.status(b, "VmHWM", false))/1024, "MiB-peak")
				g.report(b, size, float64(p.status(b, "RssAnon", false))*1024, "B")
				p.end(b)
			}
		})
	}
}

// BenchmarkIdle is what the program does while nobody asks for anything: how often it wakes up, and its memory. It
// takes as long as PROFITD_IDLE says, such as 3m.
func BenchmarkIdle(b *testing.B) {
	period, err := time.ParseDuration(os.Getenv("PROFITD_IDLE"))
	if err != nil {
		b.Skip("PROFITD_IDLE does not say for how long")
	}
	v := newDevice(b)
	v.write(v.own("12345.jan", "12345.ria", "12345.piet"))
	r := v.start()
	for _, user := range []string{"12345.jan", "12345.ria", "12345.piet"} {
		r.activate(payroll(user))
	}
	v.must(r.stop())
	p := run(b, program(b), v.options())
	settle := time.Minute // connections of the start are closed, memory is given back
	time.Sleep(settle)
	for range b.N {
		switches := func() int {
			return p.status(b, "voluntary_ctxt_switches", true) + p.status(b, "nonvoluntary_ctxt_switches", true)
		}
		before, seen, wakes, asleep := switches(), switches(), 0, true
		for begun := time.Now(); time.Since(begun) < period; time.Sleep(50 * time.Millisecond) {
			now := switches()
			if now != seen {
				b.Logf("awake after %.2f s: %d switches", time.Since(begun).Seconds(), now-seen)
			}
			if now != seen && asleep {
				wakes++ // its threads wake each other; until all sleep it is one wake-up
			}
			asleep, seen = now == seen, now
		}
		taken := float64(p.status(b, "VmRSS", false)) / 1024
		if rate := float64(wakes) / period.Minutes(); rate > mostWakes || taken > mostWhenIdle {
			b.Errorf("%.1f wake-ups a minute, %.1f MiB; at most %d and %d are meant", rate, taken, mostWakes, mostWhenIdle)
		}
		b.ReportMetric(float64(wakes)/period.Minutes(), "wakes/min")
		b.ReportMetric(float64(switches()-before)/period.Minutes(), "switches/min")
		b.ReportMetric(taken, "MiB")
	}
}
