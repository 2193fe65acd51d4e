package ipc

import (
	"net/http"
	"time"
)

// ErrorCode names an error for programs. Codes are only ever added.
type ErrorCode string

// The codes. problems says what HTTP and people call them.
const (
	InvalidRequest      ErrorCode = "invalid_request"
	Unidentified        ErrorCode = "unidentified"
	Denied              ErrorCode = "denied"
	NotFound            ErrorCode = "not_found" // no such route
	ActivationRequired  ErrorCode = "activation_required"
	Pending             ErrorCode = "pending"
	AmbiguousUser       ErrorCode = "ambiguous_user"
	BlockedByProfit     ErrorCode = "blocked"
	TooLarge            ErrorCode = "too_large"
	InvalidCode         ErrorCode = "invalid_code"
	TooManyRequests     ErrorCode = "too_many_requests"
	Internal            ErrorCode = "internal"
	Unsupported         ErrorCode = "unsupported"
	ProfitUnavailable   ErrorCode = "profit_unavailable"
	KeystoreUnavailable ErrorCode = "keystore_unavailable"
)

var problems = map[ErrorCode]struct {
	status int
	title  string
}{
	InvalidRequest:      {http.StatusBadRequest, "This request makes no sense"},
	Unidentified:        {http.StatusUnauthorized, "The system cannot say who is calling"},
	Denied:              {http.StatusForbidden, "This account may not do that"},
	NotFound:            {http.StatusNotFound, "There is no such call"},
	ActivationRequired:  {http.StatusConflict, "Profit has mailed an activation code"},
	Pending:             {http.StatusConflict, "There is no token yet"},
	AmbiguousUser:       {http.StatusConflict, "This account has several users there"},
	BlockedByProfit:     {http.StatusConflict, "Profit refused"},
	TooLarge:            {http.StatusRequestEntityTooLarge, "The request is too large"},
	InvalidCode:         {http.StatusUnprocessableEntity, "This activation code was not accepted"},
	TooManyRequests:     {http.StatusTooManyRequests, "Too many requests"},
	Internal:            {http.StatusInternalServerError, "profitd failed"},
	Unsupported:         {http.StatusNotImplemented, "Not supported"},
	ProfitUnavailable:   {http.StatusServiceUnavailable, "Profit is not available"},
	KeystoreUnavailable: {http.StatusServiceUnavailable, "The keystore is not available"},
}

// Error is a problem as RFC 9457 carries it (application/problem+json). The server sends it, the client returns it.
// Detail says what failed and why, Hint what to do next; neither quotes a value from the configuration.
type Error struct {
	Code   ErrorCode `json:"code"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail,omitempty"`
	Hint   string    `json:"hint,omitempty"`
	State  State     `json:"state,omitempty"`  // the entry's, where there is one
	Reason string    `json:"reason,omitempty"` // likewise

	RetryAfter time.Duration `json:"-"` // the header Retry-After, rounded up to seconds
}

// NewError returns an error with the title and the status of its code.
func NewError(code ErrorCode, detail, hint string) *Error {
	return &Error{Code: code, Title: problems[code].title, Status: problems[code].status, Detail: detail, Hint: hint}
}

func (e *Error) Error() string {
	message := e.Detail
	if message == "" {
		message = e.Title
	}
	if e.Hint != "" {
		message += "\n" + e.Hint
	}
	return message
}

// defaultRetry is the Retry-After of an answer that needs one when the backend named no time.
const defaultRetry = 5 * time.Second

// complete returns the error with what its code implies filled in.
func (e *Error) complete() *Error {
	filled := *e
	known, ok := problems[e.Code]
	if !ok {
		known = problems[Internal]
	}
	filled.Status = known.status
	if filled.Title == "" {
		filled.Title = known.title
	}
	busy := filled.Status == http.StatusTooManyRequests || filled.Status == http.StatusServiceUnavailable
	if busy && filled.RetryAfter <= 0 {
		filled.RetryAfter = defaultRetry
	}
	return &filled
}

// UnreachableError is the client's: nothing that may be believed has answered.
type UnreachableError struct {
	Socket string
	Detail string // what failed and why
	Hint   string // what to do next
	Err    error  // the cause; nil where there is none
}

func (e *UnreachableError) Error() string {
	if e.Hint == "" {
		return e.Detail
	}
	return e.Detail + "\n" + e.Hint
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }
