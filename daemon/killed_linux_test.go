package daemon

import (
	"os"
	"testing"

	"github.com/profitd/profitd/ipc"
)

// The program itself, killed in the middle: it starts again where it was, on the socket that was left behind, and sends
// no second mail.
func TestKilled(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write(v.own("12345.jan"))
	path := program(t)
	jan := payroll("12345.jan")
	client := ipc.NewClient(ipc.ClientOptions{Socket: v.path("s")})
	defer client.Close()
	kill := func(p *process) *process {
		v.must(p.Process.Kill())
		_ = p.Wait()
		client.Close()
		if _, err := os.Lstat(v.path("s")); err != nil {
			t.Errorf("the socket is not left behind: %v", err)
		}
		return run(t, path, v.options())
	}
	is := func(state ipc.State) func() bool {
		return func() bool {
			entries, err := client.Entries(t.Context())
			return err == nil && len(entries) == 1 && entries[0].State == state
		}
	}
	p := run(t, path, v.options())
	code := v.code("12345.jan")
	v.eventually("the code is awaited", is(ipc.AwaitingCode))
	p = kill(p)
	v.eventually("the code is awaited again", is(ipc.AwaitingCode))
	_, err := client.Activate(t.Context(), jan, code)
	v.must(err)
	before, err := client.Token(t.Context(), jan, ipc.TokenQuery{})
	v.must(err)
	p = kill(p)
	after, err := client.Token(t.Context(), jan, ipc.TokenQuery{})
	v.must(err)
	if after.Token != before.Token || v.mails("12345.jan") != 1 {
		t.Errorf("%d mails; the same token: %v", v.mails("12345.jan"), after.Token == before.Token)
	}
	v.writeText("[[[")
	kill(p)
	if _, err := client.Token(t.Context(), jan, ipc.TokenQuery{}); err != nil {
		t.Errorf("with a bad file: %v", err)
	}
}
