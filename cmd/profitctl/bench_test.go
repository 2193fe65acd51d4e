//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/ipc"
)

// peer is a program that prints a secret which it gets from a service of its own, as profitctl token does.
type peer struct {
	name    string
	command []string
	env     []string
	want    string  // what it prints
	most    float64 // how many times its time profitctl may take; 0: any
}

// What a script or an application pays that asks for a token by running profitctl: a whole process, from its start to
// its end, beside those with which others ask for theirs. All take turns within one run, so that the ratios, of the
// medians, mean something on a busy machine. "empty" is a program in Go that does nothing, "true" one in C.
//
// The aim is a quarter of secret-tool and no more than oidc-token. The first holds on a machine at rest; the second is out
// of reach for a program in Go, of which an empty one takes four fifths as long as oidc-token, in C, all told. What is
// held is that it gets no worse.
func BenchmarkTokenProcess(b *testing.B) {
	peers := []peer{profitctlPeer(b)}
	for _, make := range []func(*testing.B, string) (peer, error){oidcToken, secretTool, emptyProgram, doNothing} {
		directory, err := os.MkdirTemp("", "pb") // short: sockets lie in it
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(directory) })
		p, err := make(b, directory)
		var missing *exec.Error
		switch {
		case errors.As(err, &missing) && os.Getenv("CI") == "":
			b.Logf("not compared: %v", err)
		case err != nil:
			b.Fatal(err)
		default:
			peers = append(peers, p)
		}
	}
	took := make([][]time.Duration, len(peers))
	for b.Loop() {
		for i, p := range peers {
			took[i] = append(took[i], p.run(b))
		}
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
	median := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])/2].Microseconds()) / 1000
	}
	for i, p := range peers {
		b.ReportMetric(median(i), "ms/"+p.name)
		if i == 0 {
			continue
		}
		ratio := median(0) / median(i)
		b.ReportMetric(ratio, "x-"+p.name)
		if p.most > 0 && ratio > p.most && len(took[i]) >= 100 { // fewer say nothing
			b.Errorf("profitctl token takes %.3f ms, %.2f times the %.3f ms of %s: it should be at most %.2f times",
				median(0), ratio, median(i), p.name, p.most)
		}
	}
}

func (p peer) run(b *testing.B) time.Duration {
	command := exec.Command(p.command[0], p.command[1:]...)
	command.Env = p.env
	began := time.Now()
	out, err := command.Output()
	took := time.Since(began)
	if err != nil || strings.TrimSpace(string(out)) != p.want {
		b.Fatalf("%s: %v, %q instead of %q", p.name, err, out, p.want)
	}
	return took
}

// profitctlPeer builds profitctl and serves it a token.
func profitctlPeer(b *testing.B) peer {
	program := filepath.Join(b.TempDir(), "profitctl")
	if err := build(".", program); err != nil {
		b.Fatal(err)
	}
	directory, err := os.MkdirTemp("", "pb")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(directory) })
	socket := filepath.Join(directory, "sock")
	listener, err := ipc.Listen(socket)
	if err != nil {
		b.Fatal(err)
	}
	server := ipc.NewServer(&backend{changed: make(chan struct{}), answers: answersOf{Token: ipc.Token{
		Connector: "payroll", User: "12345.jan", Headers: map[string]string{"Authorization": "AfasToken " + strings.Repeat("PHRva2Vu", 18)},
	}}}, ipc.ServerOptions{})
	go server.Serve(listener)
	b.Cleanup(func() { server.Shutdown(context.Background()) })
	return peer{
		name:    "profitctl",
		command: []string{program, "token", "payroll"},
		env:     []string{"PROFITD_SOCKET=" + socket},
		want:    "AfasToken " + strings.Repeat("PHRva2Vu", 18),
	}
}

// oidcToken is oidc-agent with an access token that it has got already, from an OpenID provider that is ours.
func oidcToken(b *testing.B, home string) (peer, error) {
	agent, err := exec.LookPath("oidc-agent")
	if err != nil {
		return peer{}, err
	}
	const accessToken = "eyJhbGciOiJSUzI1NiJ9"
	issuer := openIDProvider(b, accessToken)
	env := append(os.Environ(), "HOME="+home)
	if err := os.Mkdir(filepath.Join(home, ".oidc-agent"), 0o700); err != nil {
		return peer{}, err
	}
	running := exec.Command(agent)
	running.Env = env
	said, err := running.Output() // lines for a shell; the agent itself goes on
	if err != nil {
		return peer{}, err
	}
	for _, name := range []string{"OIDC_SOCK", "OIDCD_PID"} {
		_, value, _ := strings.Cut(string(said), name+"=")
		value, _, _ = strings.Cut(value, ";")
		env = append(env, name+"="+value)
	}
	b.Cleanup(func() {
		end := exec.Command(agent, "--kill")
		end.Env = env
		end.Run()
	})
	err = eventually(env, "", "oidc-gen", "peer", "--manual", "--iss="+issuer, "--client-id=id", "--client-secret=secret",
		"--redirect-uri=http://localhost:4242", "--scope=openid offline_access", "--rt=refresh", "--pw-cmd=echo pw",
		"--prompt=none", "--confirm-default")
	if err != nil {
		return peer{}, err
	}
	return peer{name: "oidc-token", command: []string{"oidc-token", "peer"}, env: env, want: accessToken, most: 2}, nil
}

// openIDProvider gives everybody the same tokens. It returns its URL, which has to name localhost.
func openIDProvider(b *testing.B, accessToken string) string {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		b.Fatal(err)
	}
	issuer := fmt.Sprintf("http://localhost:%d/", listener.Addr().(*net.TCPAddr).Port)
	answers := map[string]any{
		"/.well-known/openid-configuration": map[string]any{
			"issuer": issuer, "authorization_endpoint": issuer + "auth", "token_endpoint": issuer + "token",
			"scopes_supported": []string{"openid", "offline_access"}, "response_types_supported": []string{"code"},
			"grant_types_supported": []string{"refresh_token", "authorization_code"},
		},
		"/token": map[string]any{
			"access_token": accessToken, "token_type": "Bearer", "expires_in": 36000, "refresh_token": "refresh",
			"scope": "openid offline_access",
		},
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answers[r.URL.Path])
	})}
	go server.Serve(listener)
	b.Cleanup(func() { server.Close() })
	return issuer
}

// secretTool is libsecret's own program with a secret in an unlocked GNOME Keyring, on a D-Bus session bus of its own.
func secretTool(b *testing.B, home string) (peer, error) {
	for _, name := range []string{"dbus-daemon", "gnome-keyring-daemon", "secret-tool"} {
		if _, err := exec.LookPath(name); err != nil {
			return peer{}, err
		}
	}
	env := append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_DATA_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home)
	address := "unix:path=" + filepath.Join(home, "bus")
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--address="+address)
	env = append(env, "DBUS_SESSION_BUS_ADDRESS="+address)
	bus.Env = env
	if err := start(b, bus); err != nil {
		return peer{}, err
	}
	keyring := exec.Command("gnome-keyring-daemon", "--unlock", "--components=secrets", "--foreground")
	keyring.Env, keyring.Stdin = env, strings.NewReader("pw")
	if err := start(b, keyring); err != nil {
		return peer{}, err
	}
	if err := eventually(env, "secret", "secret-tool", "store", "--label=peer", "name", "peer"); err != nil {
		return peer{}, err
	}
	return peer{name: "secret-tool", command: []string{"secret-tool", "lookup", "name", "peer"}, env: env, want: "secret", most: 0.35}, nil
}

func emptyProgram(b *testing.B, directory string) (peer, error) {
	source, program := filepath.Join(directory, "empty.go"), filepath.Join(directory, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return peer{}, err
	}
	return peer{name: "empty", command: []string{program}}, build(source, program)
}

// build makes a program as the packages do.
func build(source, program string) error {
	command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	return nil
}

func doNothing(*testing.B, string) (peer, error) {
	path, err := exec.LookPath("true")
	return peer{name: "true", command: []string{path}}, err
}

// start starts a service that runs until the benchmark ends.
func start(b *testing.B, service *exec.Cmd) error {
	if err := service.Start(); err != nil {
		return err
	}
	b.Cleanup(func() {
		service.Process.Kill()
		service.Wait()
	})
	return nil
}

// eventually runs a command until it succeeds, since the service that it needs has only just been started.
func eventually(env []string, stdin, name string, args ...string) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		command := exec.Command(name, args...)
		command.Env, command.Stdin = env, strings.NewReader(stdin)
		out, err := command.CombinedOutput()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
