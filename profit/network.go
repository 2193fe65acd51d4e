package profit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http/httpproxy"
)

const (
	defaultTimeout  = 120 * time.Second
	dialTimeout     = 30 * time.Second
	maxParallel     = 8 // calls per environment: AFAS's limit
	maxHeaderBytes  = 64 << 10
	idleConnTimeout = 30 * time.Second // shorter than that of a firewall: a POST seldom meets a connection that has died
)

// NetworkOptions say how this device reaches Profit. The zero value works.
type NetworkOptions struct {
	Proxy     string            // forward proxy: http, https, socks5 or socks5h URL; "" takes HTTPS_PROXY of the environment
	NoProxy   string            // hosts that are reached without it, separated by commas; "" takes NO_PROXY
	RootCAs   []byte            // certificates in PEM, trusted beside those of the system
	Language  string            // Accept-Language, such as "nl"; "" sends none
	Timeout   time.Duration     // for one call, from its start to the last byte of its answer; 0 means 120 s
	Transport http.RoundTripper // for tests: carries the requests in place of TCP and TLS
}

// Network is what the clients of one device share. It is made by [NewNetwork] and safe for concurrent use.
type Network struct {
	transport http.RoundTripper
	language  string
	timeout   time.Duration

	mu    sync.Mutex // guards gates
	gates map[string]gate
}

// NewNetwork opens nothing yet. It refuses a proxy that is no URL, certificates that are none, and a language that no
// header can carry; the error quotes none of them.
func NewNetwork(options NetworkOptions) (*Network, error) {
	n := &Network{
		transport: options.Transport,
		language:  options.Language,
		timeout:   options.Timeout,
		gates:     make(map[string]gate),
	}
	if n.timeout <= 0 {
		n.timeout = defaultTimeout
	}
	if !httpguts.ValidHeaderFieldValue(n.language) {
		return nil, errors.New("cannot use the language: it has characters that no header can carry")
	}
	if n.transport == nil {
		transport, err := newTransport(options)
		if err != nil {
			return nil, err
		}
		n.transport = transport
	}
	return n, nil
}

// Close closes the connections that are idle. Calls under way run to their end.
func (n *Network) Close() {
	if t, ok := n.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func newTransport(options NetworkOptions) (*http.Transport, error) {
	roots, err := rootCAs(options.RootCAs)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFunc(options.Proxy, options.NoProxy)
	if err != nil {
		return nil, err
	}
	// HTTP/1.1 alone: HTTP/2 has rules of its own for repeating a request.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConnsPerHost:    maxParallel,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}, nil
}

// rootCAs returns nil, which means those of the system, if there are none to add.
func rootCAs(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("cannot read the root certificates of the system: %v", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("cannot use the root certificates: there is no certificate in PEM among them")
	}
	return pool, nil
}

// proxySchemes are those that net/http can go through.
var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

func proxyFunc(proxy, noProxy string) (func(*url.URL) (*url.URL, error), error) {
	config := httpproxy.FromEnvironment()
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" || !slices.Contains(proxySchemes, u.Scheme) {
			return nil, errors.New("cannot use the proxy: it has to be a URL such as http://proxy.example.com:8080")
		}
		config.HTTPSProxy = proxy
	}
	if noProxy != "" {
		config.NoProxy = noProxy
	}
	return config.ProxyFunc(), nil
}

// gate lets so many calls through at a time as it has room for.
type gate chan struct{}

// gate returns the one gate of an environment, named by its normalised base URL.
func (n *Network) gate(environment string) gate {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, ok := n.gates[environment]
	if !ok {
		g = make(gate, maxParallel)
		n.gates[environment] = g
	}
	return g
}

// enter waits for room; the caller leaves again if there is no error.
func (g gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }
