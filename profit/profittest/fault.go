package profittest

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Fault is something that goes wrong. Its parts combine: a delay, then perhaps an answer other than the real one, then
// perhaps a cut.
type Fault struct {
	Call  string // OtpRequest, OtpValidation, ProfitVersion, MetaInfo, GenerateOTP, GetTokenFromOTP, DeleteToken; "" = any
	Skip  int    // lets so many calls pass first
	Times int    // goes wrong so often, then no more; 0 = for good

	Delay  time.Duration   // before anything is done; a client that hangs up meanwhile does not stop the work
	Hold   <-chan struct{} // likewise, until it is closed
	Cut    Cut
	Answer *Answer // in place of the real one
	Worked bool    // with Answer: the work is done all the same
}

// Cut says where the connection breaks off.
type Cut int

// Where the connection breaks off.
const (
	NoCut     Cut = iota
	CutBefore     // the request has come, the work is not done
	CutAfter      // the work is done, nothing is answered
	CutBody       // the work is done, half of the body is answered
)

// Answer is what is sent in place of Profit's own answer. Status 0 means 200.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Garbage is a 200 with bytes that mean nothing.
func Garbage() *Answer {
	return &Answer{Body: "\x00\xff\x1b[2J{]<garbage"}
}

// HTML is a page such as a proxy sends.
func HTML(status int) *Answer {
	return &Answer{
		Status: status,
		Header: map[string]string{"Content-Type": "text/html"},
		Body:   "<!DOCTYPE html>\n<html><head><title>Gateway</title></head><body><h1>Please wait</h1></body></html>\n",
	}
}

// Empty is a status and nothing else.
func Empty(status int) *Answer { return &Answer{Status: status} }

// Refusal is a 500 with a message, as Profit refuses on content.
func Refusal(message string) *Answer {
	a := refuse(message).rest()
	return &a
}

// Maintenance is a 503 with retry_after in seconds.
func Maintenance(wait time.Duration) *Answer {
	return &Answer{
		Status: http.StatusServiceUnavailable,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   fmt.Sprintf(`{"error": {"code": 503, "message": "Service unavailable"}, "retry_after": %d}`, int(wait.Seconds())),
	}
}

// Redirect is a 302 to another URL.
func Redirect(url string) *Answer {
	return &Answer{Status: http.StatusFound, Header: map[string]string{"Location": url}}
}

// Fault has calls go wrong from now on. Of several faults for a call the oldest that is not used up counts.
func (p *Profit) Fault(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.Times == 0 {
		f.Times = -1
	}
	p.faults = append(p.faults, &f)
}

// ClearFaults ends all faults, except for calls that they hold up already.
func (p *Profit) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// SetUnreachable has no connection come about any more, and cuts those there are; or ends that.
func (p *Profit) SetUnreachable(unreachable bool) {
	p.mu.Lock()
	p.unreachable = unreachable
	disconnected := p.disconnected
	p.mu.Unlock()
	if unreachable && disconnected != nil {
		disconnected()
	}
}

func (p *Profit) isUnreachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unreachable
}

// faultLocked takes the fault that hits a call; the zero Fault is none.
func (p *Profit) faultLocked(call string) Fault {
	for i, f := range p.faults {
		switch {
		case f.Call != "" && f.Call != call:
		case f.Skip > 0:
			f.Skip--
		default:
			if f.Times--; f.Times == 0 {
				p.faults = slices.Delete(p.faults, i, i+1)
			}
			return *f
		}
	}
	return Fault{}
}

// wait holds a call up. It returns false if the simulator is closed meanwhile.
func (p *Profit) wait(f Fault) bool {
	delay := time.NewTimer(f.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-p.closed:
		return false
	}
	if f.Hold == nil {
		return true
	}
	select {
	case <-f.Hold:
		return true
	case <-p.closed:
		return false
	}
}
