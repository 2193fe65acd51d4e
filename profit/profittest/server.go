package profittest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Profit that listens on a port of this machine, over TLS.
type Server struct {
	*Profit
	listener *listener
	http     *http.Server
	rootCA   []byte
}

// NewServer starts a server on a free port of 127.0.0.1. Like httptest.NewServer it panics if it cannot. The caller
// closes it.
func NewServer() *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("profittest: cannot listen: " + err.Error())
	}
	return NewServerOn(l)
}

// NewServerOn starts a server on a listener of the caller's, who thus chooses the port. Closing the server closes it.
func NewServerOn(l net.Listener) *Server {
	root, certificate := certificates()
	p := NewProfit()
	s := &Server{
		Profit:   p,
		listener: &listener{Listener: l, refuse: p.isUnreachable, open: make(map[net.Conn]struct{})},
		rootCA:   root,
		http: &http.Server{
			Handler:           p,
			ReadHeaderTimeout: time.Minute,
			ErrorLog:          log.New(io.Discard, "", 0), // refused handshakes are what some tests want
		},
	}
	p.disconnected = s.listener.cut
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	go func() { _ = s.http.Serve(tls.NewListener(s.listener, config)) }() // ends by Close
	return s
}

// URL is the base URL of the REST services.
func (s *Server) URL() string { return "https://" + s.listener.Addr().String() + "/ProfitRestServices" }

// SOAPURL is the base URL of the SOAP services.
func (s *Server) SOAPURL() string { return "https://" + s.listener.Addr().String() + "/ProfitServices" }

// RootCA is the root certificate to trust, in PEM.
func (s *Server) RootCA() []byte { return s.rootCA }

// Close ends the server, its connections, and what faults hold up.
func (s *Server) Close() {
	s.Profit.Close()
	_ = s.http.Close()
}

// listener keeps count of its connections so that they can be cut.
type listener struct {
	net.Listener
	refuse func() bool

	mu   sync.Mutex // guards open
	open map[net.Conn]struct{}
}

// Accept closes every connection at once while it is to refuse them.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.refuse() {
			_ = conn.Close()
			continue
		}
		tracked := &trackedConn{conn, l}
		l.mu.Lock()
		l.open[tracked] = struct{}{}
		l.mu.Unlock()
		return tracked, nil
	}
}

func (l *listener) cut() {
	l.mu.Lock()
	open := make([]net.Conn, 0, len(l.open))
	for conn := range l.open {
		open = append(open, conn)
	}
	l.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
}

type trackedConn struct {
	net.Conn
	listener *listener
}

func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// certificates makes a root certificate in PEM, and with it one for this machine and for AFAS's own host names, so that
// these can be used through a proxy. The root's key is gone when this returns.
func certificates() ([]byte, tls.Certificate) {
	rootKey, key := newKey(), newKey()
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "profittest root"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "profittest"},
		NotBefore:    root.NotBefore,
		NotAfter:     root.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:     []string{"localhost"},
	}
	for _, service := range []string{"rest", "soap"} {
		for _, kind := range []string{"", "test", "accept", "cursus"} {
			leaf.DNSNames = append(leaf.DNSNames, "*."+service+kind+".afas.online")
		}
	}
	rootDER := sign(root, root, rootKey, rootKey)
	leafDER := sign(leaf, root, key, rootKey)
	rootPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	return rootPEM, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("profittest: cannot make a key: " + err.Error())
	}
	return key
}

func sign(certificate, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, parentKey)
	if err != nil {
		panic("profittest: cannot make a certificate: " + err.Error())
	}
	return der
}
