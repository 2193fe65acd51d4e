package profittest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	maxParallel = 8       // AFAS's limit per environment
	maxRequest  = 1 << 20 // of a body
	maxCalls    = 10_000  // that are remembered
)

// Call is a request that has come.
type Call struct {
	Name          string // OtpRequest, …; "" for a wrong URL
	User          string // as the request or its token names it
	Device        string // the description, over SOAP
	IntegrationID string
	Language      string // Accept-Language
	At            time.Time
	Status        int // of the answer; 0 while there is none, or if it was cut
}

// Calls lists the requests that have come, the last 10,000, in order of arrival.
func (p *Profit) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := make([]Call, len(p.calls))
	for i, c := range p.calls {
		calls[i] = *c
	}
	return calls
}

// Count says how often a call came, of those that Calls lists; "" counts wrong URLs.
func (p *Profit) Count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.calls {
		if c.Name == name {
			n++
		}
	}
	return n
}

// MaxParallel is the largest number of requests that there were at one time, refused ones included. AFAS allows 8.
func (p *Profit) MaxParallel() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.maxParallel
}

// ServeHTTP is Profit.
func (p *Profit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in, err := read(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away
	}
	call, fault, room := p.arrive(in)
	defer p.leave()
	if !p.wait(fault) || fault.Cut == CutBefore {
		panic(http.ErrAbortHandler)
	}
	answer := Maintenance(time.Second)
	if room {
		answer = p.answer(in, fault)
	}
	if fault.Cut == CutAfter {
		panic(http.ErrAbortHandler)
	}
	p.answered(call, answer)
	answer.write(w, r, fault.Cut == CutBody)
}

// arrive counts a request in. There may be no room for it.
func (p *Profit) arrive(in *incoming) (call *Call, fault Fault, room bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parallel++
	p.maxParallel = max(p.maxParallel, p.parallel)
	call = &Call{
		Name:          in.name,
		User:          in.otp.user,
		Device:        in.otp.device,
		IntegrationID: in.header.Get("IntegrationId"),
		Language:      in.header.Get("Accept-Language"),
		At:            time.Now(),
	}
	p.calls = append(p.calls, call)
	if len(p.calls) > maxCalls {
		p.calls = append([]*Call(nil), p.calls[len(p.calls)-maxCalls:]...)
	}
	return call, p.faultLocked(in.name), p.parallel <= maxParallel
}

func (p *Profit) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parallel--
}

func (p *Profit) answered(call *Call, a *Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Status = a.status()
}

// answer does the work, unless a fault prevents it, and says what to answer.
func (p *Profit) answer(in *incoming, f Fault) *Answer {
	if f.Answer != nil && !f.Worked {
		return f.Answer
	}
	own := p.rest
	if in.soap {
		own = p.soap
	}
	answer := own(in)
	if f.Answer != nil {
		return f.Answer
	}
	return &answer
}

func (a *Answer) status() int {
	if a.Status == 0 {
		return http.StatusOK
	}
	return a.Status
}

// write sends the answer, gzipped for a client that asks, or only half of its body.
func (a *Answer) write(w http.ResponseWriter, r *http.Request, cut bool) {
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	body := []byte(a.Body)
	if len(body) > 0 && w.Header().Get("Content-Encoding") == "" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, _ = z.Write(body)
		_ = z.Close()
		body = zipped.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status())
	if !cut {
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// incoming is a request that has been read.
type incoming struct {
	name   string // of the call; "" if there is none such
	soap   bool
	get    string // the id of a GetConnector
	header http.Header
	from   netip.Addr
	otp    otp
	token  string // of DeleteToken
	bad    error  // why the body cannot be used
}

// read reads a request and finds out which call it is.
func read(r *http.Request) (*incoming, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, err
	}
	in := &incoming{header: r.Header, from: address(r.RemoteAddr)}
	in.otp.from = in.from
	if len(body) > maxRequest {
		in.bad = fmt.Errorf("the request is longer than %d bytes", maxRequest)
	}
	path := strings.ToLower(r.URL.Path)
	if strings.HasSuffix(path, "/profitservices/tokenconnector.asmx") {
		in.soap = true
		in.readSOAP(r, body)
		return in, nil
	}
	_, function, _ := strings.Cut(path, "/profitrestservices/")
	id, isGet := strings.CutPrefix(function, "connectors/")
	switch {
	case r.Method == http.MethodPost && function == "otprequest":
		in.name = "OtpRequest"
		in.readOTP(body)
	case r.Method == http.MethodPost && function == "otpvalidation":
		in.name = "OtpValidation"
		in.readOTP(body)
	case r.Method == http.MethodGet && function == "profitversion":
		in.name = "ProfitVersion"
	case r.Method == http.MethodGet && function == "metainfo":
		in.name = "MetaInfo"
	case r.Method == http.MethodGet && isGet:
		in.name, in.get = "connectors", id
	}
	return in, nil
}

func address(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}
