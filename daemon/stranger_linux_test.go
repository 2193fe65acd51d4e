package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/profitd/profitd/ipc"
)

// An account that is named nowhere learns nothing of what there is.
func TestStranger(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another account")
	}
	v := newDevice(t)
	v.must(os.Chmod(filepath.Dir(v.dir), 0o755))
	v.write(v.own("12345.jan"))
	r := v.start()
	r.until(payroll("12345.jan"), ipc.AwaitingCode)
	stranger := connectAs(t, 54321, v.path("s"))
	answer := func(path string) string {
		t.Helper()
		response, err := stranger.Get("http://profitd" + path)
		v.must(err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		v.must(err)
		return fmt.Sprint(response.StatusCode, " ", string(body))
	}
	for _, call := range []string{"", "/explain"} {
		there, missing := answer("/v1/tokens/payroll/12345.jan"+call), answer("/v1/tokens/stock/12345.piet"+call)
		if there != missing || call == "" && !strings.HasPrefix(there, "403") {
			t.Errorf("a stranger is told\n%s\n%s", there, missing)
		}
	}
	for _, path := range []string{"/v1/tokens", "/v1/tokens/payroll", "/v1/events"} {
		if got := answer(path); !strings.HasPrefix(got, "403") {
			t.Errorf("%s: a stranger is told %s", path, got)
		}
	}
	v.writeText("nonsense")
	r.reload()
	got := answer("/v1/status")
	if !strings.HasPrefix(got, "200") || !strings.Contains(got, `"refused":true`) || strings.Contains(got, `"why"`) {
		t.Errorf("a stranger is told: %s", got)
	}
}

// connectAs returns a client of one connection that an account other than root made: a thread becomes that account,
// connects, and is thrown away.
func connectAs(t *testing.T, uid int, socket string) *http.Client {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked
		for _, change := range [][4]uintptr{
			{unix.SYS_SETGROUPS, 0, 0, 0},
			{unix.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(change[0], change[1], change[2], change[3]); errno != 0 {
				made <- result{nil, errno}
				return
			}
		}
		conn, err := net.Dial("unix", socket)
		made <- result{conn, err}
	}()
	got := <-made
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { got.conn.Close() })
	return &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return got.conn, nil },
	}}
}
