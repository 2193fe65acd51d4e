package profit

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxWait      = 24 * time.Hour // that Profit can impose
	maxReference = 64             // of a log reference, in bytes; Profit's have 32
)

// refusal makes the error of an answer that is not 2xx. The body may be anything: Profit's JSON, a SOAP fault, a
// proxy's page, nothing.
func refusal(r request, response *http.Response, body []byte) *Error {
	said := readRefusal(body)
	e := &Error{
		Op:           r.op,
		Status:       response.StatusCode,
		Message:      presentable(said.message, r.secrets),
		LogReference: reference(said.logReference, r.secrets),
		RetryAt:      retryAt(time.Now(), response.Header.Get("Retry-After"), said.wait),
		Reached:      Yes,
	}
	e.Kind = kindOf(e.Status, e.Message)
	if e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout {
		e.Reached = Maybe // a proxy says it, that had no answer from Profit itself
	}
	return e
}

func kindOf(status int, message string) Kind {
	switch {
	case status == http.StatusBadRequest:
		return Missing
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden:
		return IPRestricted
	case status == http.StatusNotFound:
		return WrongURL
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return Maintenance
	case status == http.StatusInternalServerError && message != "":
		return Refused
	case status >= 500:
		return Failed
	case status >= 300 && status < 400:
		return Redirected
	default:
		return Unexpected
	}
}

// said is what the body of a refusal tells. errorNumber is left out: it says nothing useful.
type said struct {
	message      string
	logReference string
	wait         time.Duration // retry_after
}

// readRefusal takes each field that has the type it should have, whatever the others are like.
func readRefusal(body []byte) said {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		if fault := readFault(body); fault != nil {
			return said{message: fault.message(), logReference: fault.LogReference}
		}
		return said{}
	}
	message, _ := fields["externalMessage"].(string)
	logReference, _ := fields["profitLogReference"].(string)
	nested, _ := fields["error"].(map[string]any)
	return said{message, logReference, max(wait(fields["retry_after"]), wait(nested["retry_after"]))}
}

// wait reads a number of seconds, which may be written as a string.
func wait(value any) time.Duration {
	seconds, ok := value.(float64)
	if text, isText := value.(string); isText {
		var err error
		seconds, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
		ok = err == nil
	}
	if !ok || !(seconds > 0) { // written so that NaN does not pass
		return 0
	}
	return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))
}

// retryAt returns the later of the time that the Retry-After header names, in seconds or as a date, and the wait that
// the body asks for; zero if neither lies ahead.
func retryAt(now time.Time, header string, bodyWait time.Duration) time.Time {
	until := now.Add(max(bodyWait, wait(header)))
	if date, err := http.ParseTime(header); err == nil && date.After(until) {
		until = date
	}
	if limit := now.Add(maxWait); until.After(limit) {
		until = limit
	}
	if !until.After(now) {
		return time.Time{}
	}
	return until
}

func reference(text string, secrets []string) string {
	text = presentable(text, secrets)
	return text[:min(len(text), maxReference)]
}
