//go:build unix

package ipc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// What a token costs, beside what else could answer on such a socket. All take turns within one run, and the figures are
// medians over the turns, so that the ratios hold on a busy machine: "x-net/http" is how many times as long a token takes
// as an answer of an empty net/http handler, "x-net/http-allocs" the same for allocations. The client sends what curl
// sends, but over a bare socket and without allocating anything (but for new connections), so that what is counted is
// the servers.

// most is how many times what an empty net/http handler costs a token may cost: the aim is 1.3, and the rest is what the
// scheduler makes of times of a few microseconds.
const most = 1.4

func BenchmarkTokenKeptAlive(b *testing.B) {
	compare(b, contenders(b), func(b *testing.B, c contender) func() {
		conn := connect(b, c.path)
		reader := bufio.NewReader(conn)
		return func() { c.ask(b, conn, reader) }
	})
}

func BenchmarkTokenNewConnection(b *testing.B) {
	compare(b, contenders(b), func(b *testing.B, c contender) func() {
		reader := bufio.NewReader(nil)
		return func() {
			conn, err := net.Dial("unix", c.path)
			if err != nil {
				b.Fatal(err)
			}
			reader.Reset(conn)
			c.ask(b, conn, reader)
			conn.Close()
		}
	})
}

// contender is a server, what it is asked, and how its answer is read to its end.
type contender struct {
	name, path string
	request    []byte
	read       func(*bufio.Reader) error
}

func (c contender) ask(b *testing.B, conn net.Conn, reader *bufio.Reader) {
	if _, err := conn.Write(c.request); err != nil {
		b.Fatal(c.name, err)
	}
	if err := c.read(reader); err != nil {
		b.Fatal(c.name, err)
	}
}

// contenders starts the servers: ours first, then the one that it is measured by.
func contenders(b *testing.B) []contender {
	request := []byte("GET /v1/tokens/payroll/12345.jan HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")
	token := janToken()
	if err := token.Encode(); err != nil {
		b.Fatal(err)
	}
	_, ours := serve(b, memoryBackend{newBackend(Owner), token}, ServerOptions{})
	all := []contender{
		{"token", ours, request, readHTTP},
		{"net/http", emptyServer(b), request, readHTTP},
		{"echo", echoServer(b), request, func(r *bufio.Reader) error {
			_, err := r.Discard(len(request))
			return err
		}},
	}
	if agent := sshAgent(b); agent != "" {
		// SSH_AGENTC_REQUEST_IDENTITIES of the agent protocol: a length and the message 11.
		all = append(all, contender{"ssh-agent", agent, []byte{0, 0, 0, 1, 11}, func(r *bufio.Reader) error {
			length, err := r.Peek(4)
			if err == nil {
				_, err = r.Discard(4 + int(binary.BigEndian.Uint32(length)))
			}
			return err
		}})
	}
	return all
}

// compare runs the contenders in turns and reports what one answer of each costs, and the ratios of the first two.
func compare(b *testing.B, all []contender, start func(*testing.B, contender) func()) {
	const turn = 100
	asks := make([]func(), len(all))
	for i, c := range all {
		asks[i] = start(b, c)
		for range turn {
			asks[i]()
		}
	}
	times, allocs := make([][]float64, len(all)), make([][]float64, len(all)) // of one answer, by turn
	var before, after runtime.MemStats
	for b.Loop() {
		for i, ask := range asks {
			runtime.ReadMemStats(&before)
			started := time.Now()
			for range turn {
				ask()
			}
			times[i] = append(times[i], float64(time.Since(started))/turn)
			runtime.ReadMemStats(&after)
			allocs[i] = append(allocs[i], float64(after.Mallocs-before.Mallocs)/turn)
		}
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
	for i, c := range all {
		b.ReportMetric(median(times[i]), "ns/"+c.name)
	}
	b.ReportMetric(median(allocs[0]), "allocs/token")
	for unit, costs := range map[string][][]float64{"x-net/http": times, "x-net/http-allocs": allocs} {
		ours, theirs := median(costs[0]), median(costs[1])
		b.ReportMetric(ours/theirs, unit)
		if ours > most*theirs && len(costs[0]) >= 100 { // fewer say nothing
			b.Errorf("%s is %.2f: %.1f and %.1f", unit, ours/theirs, ours, theirs)
		}
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func emptyServer(b *testing.B) string {
	listener, err := net.Listen("unix", socketPath(b))
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(listener)
	b.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func echoServer(b *testing.B) string {
	listener, err := net.Listen("unix", socketPath(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(struct{ io.Writer }{conn}, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// sshAgent starts OpenSSH's agent with one key, where it is installed.
func sshAgent(b *testing.B) string {
	agent, err := exec.LookPath("ssh-agent")
	if err != nil {
		b.Log("ssh-agent is not installed: not compared")
		return ""
	}
	path := socketPath(b)
	command := exec.Command(agent, "-D", "-a", path)
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			b.Fatal("ssh-agent does not start")
		}
	}
	key := filepath.Join(filepath.Dir(path), "key")
	for _, arguments := range [][]string{{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}, {"ssh-add", "-q", key}} {
		command := exec.Command(arguments[0], arguments[1:]...)
		command.Env = append(os.Environ(), "SSH_AUTH_SOCK="+path)
		if output, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", arguments[0], err, output)
		}
	}
	return path
}

// readHTTP reads an answer with a Content-Length.
func readHTTP(reader *bufio.Reader) error {
	length := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if digits, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, digit := range bytes.TrimSpace(digits) {
				length = 10*length + int(digit-'0')
			}
		}
		if len(line) == 2 {
			_, err = reader.Discard(length)
			return err
		}
	}
}
