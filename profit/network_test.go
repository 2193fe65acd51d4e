package profit_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

// strange is a server over TLS that does what a Profit never would, and a client of it.
func strange(t *testing.T, handler http.HandlerFunc, change func(*httptest.Server)) *profit.Client {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{}
	if change != nil {
		change(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	network, err := profit.NewNetwork(profit.NetworkOptions{RootCAs: rootOf(server), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	return network.Client(profit.Options{
		BaseURL: server.URL, SOAPURL: server.URL,
		APIKey: profit.NewSecret("key"), EnvironmentKey: profit.NewSecret("environment"),
	})
}

func rootOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// net/http sends a request again when a kept-alive connection dies under it. For a POST that would be a second mail,
// or a code spent twice.
func TestNoPOSTIsRepeated(t *testing.T) {
	posts := map[string]func(context.Context, *profit.Client) error{
		"OtpRequest":  func(ctx context.Context, c *profit.Client) error { return c.RequestOTP(ctx, user) },
		"DeleteToken": func(ctx context.Context, c *profit.Client) error { return c.DeleteToken(ctx, mustToken(t)) },
		"OtpValidation": func(ctx context.Context, c *profit.Client) error {
			_, err := c.ValidateOTP(ctx, user, profit.NewSecret("34264813"))
			return err
		},
	}
	for name, post := range posts {
		t.Run(name, func(t *testing.T) {
			var warm, arrived, reused atomic.Int32
			first := make(map[string]bool)
			c := strange(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodGet {
					warm.Add(1)
					first[r.RemoteAddr] = true
					_, _ = io.WriteString(w, `{"version":"1"}`)
					return
				}
				arrived.Add(1)
				if first[r.RemoteAddr] {
					reused.Add(1)
				}
				panic(http.ErrAbortHandler)
			}, nil)
			if _, err := c.Version(t.Context(), mustToken(t)); err != nil {
				t.Fatal(err)
			}
			e := asError(t, post(t.Context(), c))
			if e.Kind != profit.Interrupted || e.Reached != profit.Maybe || !e.Temporary() {
				t.Errorf("%+v", e)
			}
			if arrived.Load() != 1 {
				t.Errorf("the POST arrived %d times", arrived.Load())
			}
			if warm.Load() != 1 || reused.Load() != 1 {
				t.Error("the POST did not use the kept-alive connection: the test proves nothing")
			}
		})
	}
}

// Connections are kept: AFAS documents closed ones as a cause of resets.
func TestKeepAlive(t *testing.T) {
	var mu sync.Mutex
	connections := make(map[string]int)
	c := strange(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		connections[r.RemoteAddr]++
		if r.Close {
			t.Error("the client wants the connection closed")
		}
		_, _ = io.WriteString(w, `{"version":"1"}`)
	}, nil)
	for range 5 {
		if err := c.RequestOTP(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Version(t.Context(), mustToken(t)); err != nil {
			t.Fatal(err)
		}
	}
	// The body of an OtpRequest is not read; here, unlike at Profit, it has one, which costs its connection.
	if len(connections) > 6 {
		t.Errorf("10 calls took %d connections", len(connections))
	}
}

// Proxies and Profit itself compress; a compressed body that breaks off is no answer.
func TestGzip(t *testing.T) {
	var cut atomic.Bool
	c := strange(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the client does not ask for gzip")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"version":"22.22.5"}`)
		if cut.Load() {
			_ = z.Flush() // without the checksum at the end
			return
		}
		_ = z.Close()
	}, nil)
	if version, err := c.Version(t.Context(), mustToken(t)); err != nil || version != "22.22.5" {
		t.Errorf("Version() = %q, %v", version, err)
	}
	cut.Store(true)
	_, err := c.Version(t.Context(), mustToken(t))
	if e := asError(t, err); e.Kind != profit.Garbled {
		t.Errorf("cut: %+v", e)
	}
}

// A bomb of zeros must not take memory.
func TestBodyIsReadUpToALimit(t *testing.T) {
	c := strange(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 200 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
		_ = z.Close()
	}, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Version(t.Context(), mustToken(t))
	runtime.ReadMemStats(&after)
	if e := asError(t, err); e.Kind != profit.Garbled || !strings.Contains(e.Error(), "1 MiB") {
		t.Errorf("%+v", e)
	}
	if taken := (after.TotalAlloc - before.TotalAlloc) >> 20; taken > 32 {
		t.Errorf("it took %d MiB", taken)
	}
}

// No connection that cannot be trusted carries a key; nothing has left when it is refused.
func TestTLS(t *testing.T) {
	requests := func(http.ResponseWriter, *http.Request) { t.Error("a request came through") }
	trusting := func(roots []byte, url string) *profit.Client {
		network, err := profit.NewNetwork(profit.NetworkOptions{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		return network.Client(profit.Options{BaseURL: url})
	}
	old := func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }
	mutual := func(s *httptest.Server) {
		s.TLS.MaxVersion, s.TLS.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert
	}
	w := newWorld(t)
	other := profittest.NewServer()
	defer other.Close()
	plain := httptest.NewServer(http.HandlerFunc(requests))
	defer plain.Close()
	named := httptest.NewTLSServer(http.HandlerFunc(requests)) // its certificate does not say localhost
	named.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer named.Close()
	for name, client := range map[string]*profit.Client{
		"TLS 1.1":                   strange(t, requests, old),
		"client certificate wanted": strange(t, requests, mutual),
		"unknown root":              trusting(other.RootCA(), w.URL()),
		"wrong name":                trusting(rootOf(named), strings.Replace(named.URL, "127.0.0.1", "localhost", 1)),
		"system's roots alone":      trusting(nil, w.URL()),
		"no TLS at all":             trusting(nil, strings.Replace(plain.URL, "http:", "https:", 1)),
	} {
		e := asError(t, client.RequestOTP(t.Context(), user))
		if e.Kind != profit.TLS || e.Reached != profit.No {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := len(w.Calls()); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

// How far a request got decides whether a code is spent.
func TestReached(t *testing.T) {
	w, code := newWorld(t), profit.NewSecret("34264813")
	validate := func(ctx context.Context) *profit.Error {
		_, err := w.rest.ValidateOTP(ctx, user, code)
		return asError(t, err)
	}
	check := func(name string, e *profit.Error, kind profit.Kind, reached profit.Reached) {
		t.Helper()
		if e.Kind != kind || e.Reached != reached {
			t.Errorf("%s: %+v", name, e)
		}
	}
	w.Fault(profittest.Fault{Times: 1, Cut: profittest.CutBefore})
	check("cut before the work", validate(t.Context()), profit.Interrupted, profit.Maybe)
	w.Fault(profittest.Fault{Times: 1, Cut: profittest.CutAfter})
	check("cut after the work", validate(t.Context()), profit.Interrupted, profit.Maybe)
	w.SetUnreachable(true)
	check("cut in the handshake", validate(t.Context()), profit.Unreachable, profit.No)
	w.SetUnreachable(false)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	e := validate(canceled)
	check("cancelled before", e, profit.Unreachable, profit.No)
	if !errors.Is(e, context.Canceled) {
		t.Errorf("errors.Is does not find context.Canceled in %v", e)
	}

	hold := make(chan struct{})
	w.Fault(profittest.Fault{Times: 1, Hold: hold})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for w.Count("OtpValidation") != 3 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	e = validate(ctx)
	close(hold)
	check("cancelled in flight", e, profit.Interrupted, profit.Maybe)
	if !errors.Is(e, context.Canceled) {
		t.Errorf("errors.Is does not find context.Canceled in %v", e)
	}

	w.Close()
	w.network.Close()
	check("refused", validate(t.Context()), profit.Unreachable, profit.No)
	nowhere := w.network.Client(profit.Options{BaseURL: "https://profit.invalid/"})
	check("no such host", asError(t, nowhere.RequestOTP(t.Context(), user)), profit.Unreachable, profit.No)
}

// A call ends after 120 s unless set otherwise, also when the answer stalls; Profit may finish it all the same.
func TestTimeout(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"default": 0, "configured": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := profittest.NewProfit()
				p.Fault(profittest.Fault{Delay: 900 * time.Second})
				c := inProcess(t, p, timeout)
				want := timeout
				if want == 0 {
					want = 120 * time.Second
				}
				began := time.Now()
				e := asError(t, c.RequestOTP(t.Context(), user))
				if e.Kind != profit.Interrupted || e.Reached != profit.Maybe || !errors.Is(e, context.DeadlineExceeded) {
					t.Errorf("%+v", e)
				}
				if took := time.Since(began); took != want {
					t.Errorf("took %v, want %v", took, want)
				}
			})
		})
	}
}

// Eight calls at a time per environment, whichever connector, service or spelling of the URL they use.
func TestParallelGate(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.Fault(profittest.Fault{Hold: hold})
	shouting := w.options()
	shouting.BaseURL = strings.ToUpper(w.URL()) + "/"
	token := w.token(t)
	var calls sync.WaitGroup
	for range 10 {
		for _, call := range []func() error{
			func() error { _, err := w.network.Client(shouting).Version(t.Context(), token); return err },
			func() error { return w.soap.RequestOTP(t.Context(), user) },
			func() error { _, err := w.rest.MetaInfo(t.Context(), token); return err },
		} {
			calls.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	for deadline := time.Now().Add(10 * time.Second); w.MaxParallel() < 8; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d calls run in parallel", w.MaxParallel())
		}
	}
	close(hold)
	calls.Wait()
	if w.MaxParallel() != 8 || len(w.Calls()) != 30 {
		t.Errorf("%d of %d calls ran in parallel", w.MaxParallel(), len(w.Calls()))
	}
}

// Waiting for one of the eight places ends with the caller's context, and takes nothing from the call's own timeout.
func TestWaitingAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := profittest.NewProfit()
		p.Fault(profittest.Fault{Delay: 50 * time.Second})
		c := inProcess(t, p, time.Minute)
		var calls sync.WaitGroup
		for range 17 { // the last one waits for 100 s and takes 50 s
			calls.Go(func() {
				if e := asError(t, c.RequestOTP(t.Context(), user)); e.Kind != profit.Unauthorized {
					t.Errorf("%+v", e)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		e := asError(t, c.RequestOTP(ctx, user))
		if e.Kind != profit.Unreachable || e.Reached != profit.No || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
		calls.Wait()
		if p.MaxParallel() != 8 || len(p.Calls()) != 17 {
			t.Errorf("%d of %d calls ran in parallel", p.MaxParallel(), len(p.Calls()))
		}
		if took := time.Since(began); took != 150*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// proxy is a forward proxy that leads every CONNECT to one address, and remembers which hosts were asked for.
type proxy struct {
	*httptest.Server
	mu       sync.Mutex // guards the fields below
	asked    []string
	password string
	status   int // of the answer
}

func (p *proxy) refuse(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func newProxy(t *testing.T, to string) *proxy {
	p := &proxy{status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.Host)
		p.password = r.Header.Get("Proxy-Authorization")
		status := p.status
		p.mu.Unlock()
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, bufio.NewReader(here)); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(p.Close)
	return p
}

// The proxy comes from the options or else from the environment, NoProxy likewise; TLS is end to end through it.
func TestProxy(t *testing.T) {
	const real = "https://12345.rest.afas.online/ProfitRestServices"
	w := newWorld(t)
	p := newProxy(t, strings.TrimPrefix(strings.TrimSuffix(w.URL(), "/ProfitRestServices"), "https://"))
	withPassword := strings.Replace(p.URL, "http://", "http://jan:geheim@", 1)
	call := func(o profit.NetworkOptions) error {
		o.RootCAs = w.RootCA()
		network, err := profit.NewNetwork(o)
		if err != nil {
			t.Fatal(err)
		}
		defer network.Close()
		c := w.options()
		c.BaseURL = real
		return network.Client(c).RequestOTP(t.Context(), user)
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	if err := call(profit.NetworkOptions{Proxy: withPassword}); err != nil {
		t.Fatal(err)
	}
	if len(p.asked) != 1 || p.asked[0] != "CONNECT 12345.rest.afas.online:443" || p.password == "" {
		t.Errorf("the proxy was asked for %q with %q", p.asked, p.password)
	}
	t.Setenv("HTTPS_PROXY", p.URL)
	if err := call(profit.NetworkOptions{}); err != nil || len(p.asked) != 2 {
		t.Errorf("HTTPS_PROXY of the environment: %v, asked %q", err, p.asked)
	}
	for _, o := range []profit.NetworkOptions{{NoProxy: ".invalid"}, {NoProxy: "profit.invalid", Proxy: p.URL}} {
		network, err := profit.NewNetwork(o)
		if err != nil {
			t.Fatal(err)
		}
		e := asError(t, network.Client(profit.Options{BaseURL: "https://profit.invalid"}).RequestOTP(t.Context(), user))
		if e.Kind != profit.Unreachable || len(p.asked) != 2 {
			t.Errorf("in spite of NoProxy: %+v, asked %q", e, p.asked)
		}
	}
	p.refuse(http.StatusProxyAuthRequired)
	e := asError(t, call(profit.NetworkOptions{Proxy: withPassword}))
	if e.Kind != profit.Unreachable || e.Reached != profit.No || strings.Contains(e.Error(), "geheim") {
		t.Errorf("refused by the proxy: %+v: %v", e, e)
	}
	p.Close()
	e = asError(t, call(profit.NetworkOptions{Proxy: withPassword}))
	if e.Kind != profit.Unreachable || e.Reached != profit.No || strings.Contains(e.Error(), "geheim") {
		t.Errorf("proxy down: %+v: %v", e, e)
	}
	if n := w.Count("OtpRequest"); n != 2 {
		t.Errorf("Profit saw %d requests", n)
	}
}

// What is no URL, no certificate or no header is said at the start, not at the first call, and is not quoted.
func TestNewNetworkRefuses(t *testing.T) {
	for name, o := range map[string]profit.NetworkOptions{
		"proxy without scheme": {Proxy: "geheim.example.com:8080"},
		"proxy, no URL":        {Proxy: "http://jan:geheim@[::"},
		"proxy, FTP":           {Proxy: "ftp://jan:geheim@example.com"},
		"certificates":         {RootCAs: []byte("geheim")},
		"language":             {Language: "nl\r\nX-Y: geheim"},
	} {
		if _, err := profit.NewNetwork(o); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
