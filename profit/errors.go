package profit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says in one word how a call failed. Programs switch on it.
type Kind string

// The kinds of failure. The numbers are HTTP statuses, with the meaning that AFAS documents for them.
const (
	Missing       Kind = "missing"        // 400: something is missing in the request
	Unauthorized  Kind = "unauthorized"   // 401: wrong, deleted or expired, or of another connector; also a wrong URL
	IPRestricted  Kind = "ip_restricted"  // 403: the app connector does not admit this network address
	WrongURL      Kind = "wrong_url"      // 404
	Refused       Kind = "refused"        // 500 with a message, or a SOAP fault: refused on content
	Failed        Kind = "failed"         // 500 without a message, or another 5xx
	Maintenance   Kind = "maintenance"    // 503, 429: not now, see RetryAt
	Redirected    Kind = "redirected"     // 3xx: never followed
	Unexpected    Kind = "unexpected"     // any other status
	TLS           Kind = "tls"            // the connection cannot be trusted, or the other side refuses it
	Unreachable   Kind = "unreachable"    // no connection came about, or the call ended before one was used
	Interrupted   Kind = "interrupted"    // the request left us and no answer came
	Garbled       Kind = "garbled"        // 2xx whose body is no answer
	NotConfigured Kind = "not_configured" // the client lacks what the call needs, such as a SOAP URL
)

// Reached says whether a request can have reached Profit, and so whether it may have been carried out.
type Reached int

// Maybe is the zero value: it is what has to be assumed when nothing is known.
const (
	Maybe Reached = iota // it left this device and Profit's answer did not come
	No                   // nothing of it left this device
	Yes                  // Profit answered
)

// String is "maybe", "no" or "yes".
func (r Reached) String() string {
	switch r {
	case No:
		return "no"
	case Yes:
		return "yes"
	default:
		return "maybe"
	}
}

// Error is how a call failed. Nothing in it holds a secret that was sent, even where Profit echoes one.
type Error struct {
	Op           string    // what could not be done: "ask for a code", "trade the code for a token", …
	Kind         Kind      // how it failed
	Status       int       // HTTP status; 0 when no answer came
	Message      string    // what Profit says about it, on one line: externalMessage, or the SOAP fault
	LogReference string    // profitLogReference: AFAS support asks for it
	RetryAt      time.Time // not before this time, if Profit named one (at most 24 h ahead); else zero
	Reached      Reached   // can it have reached Profit
	Err          error     // what went wrong on this side, if anything; errors.Is finds the end of a context through it
}

// Error says what could not be done, why, and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot %s: %s", e.Op, e.reason())
	if e.Message != "" {
		fmt.Fprintf(&b, "; Profit says: %s", e.Message)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.LogReference != "" {
		fmt.Fprintf(&b, " (AFAS support asks for log reference %s)", e.LogReference)
	}
	return b.String()
}

// Unwrap returns the cause, through which errors.Is finds context.Canceled and context.DeadlineExceeded.
func (e *Error) Unwrap() error { return e.Err }

// Temporary tells whether the same call may succeed later without anybody changing anything, not before RetryAt.
// A device changes networks, so an IP restriction is temporary. Whoever repeats a POST looks at Reached first.
func (e *Error) Temporary() bool {
	switch e.Kind {
	case IPRestricted, Failed, Maintenance, TLS, Unreachable, Interrupted, Garbled:
		return true
	default:
		return false
	}
}

func (e *Error) reason() string {
	switch e.Kind {
	case Missing:
		return "Profit misses something in the request (400)"
	case Unauthorized:
		return "Profit does not accept it (401): a key, code or token is wrong, deleted or expired, or belongs to another app connector, or the URL is wrong"
	case IPRestricted:
		return "the app connector does not admit this network address (403); see its IP restrictions in Profit"
	case WrongURL:
		return "there is no Profit at this URL (404); check environment, type and url"
	case Refused:
		return fmt.Sprintf("Profit refuses it (%d)", e.Status)
	case Failed:
		return fmt.Sprintf("Profit failed (%d) without saying why", e.Status)
	case Maintenance:
		return fmt.Sprintf("Profit is unavailable (%d)%s", e.Status, e.notBefore())
	case Redirected:
		return fmt.Sprintf("Profit sends us elsewhere (%d), which is not followed; check environment, type and url", e.Status)
	case Unexpected:
		return fmt.Sprintf("Profit answered with status %d, which it does not document", e.Status)
	case TLS:
		return "no trusted connection with Profit; check the clock, the URL and ca_file"
	case Unreachable:
		return "no connection with Profit; check network and proxy"
	case Interrupted:
		return "no answer came; Profit may have carried it out all the same"
	case Garbled:
		return "the answer is not one of Profit's"
	case NotConfigured:
		return "it is not configured"
	default:
		return string(e.Kind)
	}
}

func (e *Error) notBefore() string {
	if e.RetryAt.IsZero() {
		return ""
	}
	return " until " + e.RetryAt.UTC().Format(time.RFC3339)
}

// cause is an error in words that are fit to be shown. Of the original only the end of a context stays reachable:
// what a transport says may quote bytes that came over the line.
type cause struct {
	text string
	is   error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.is }

func newCause(err error, secrets []string) error {
	c := &cause{text: presentable(err.Error(), secrets)}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			c.is = known
		}
	}
	return c
}
