package ipc

import (
	"net/http"
	"time"
)

// ErrorCode names an error for programs. Codes are only ever added.
type ErrorCode string

// The codes and, in statuses, what HTTP calls them.
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

var statuses = map[ErrorCode]int{
	InvalidRequest:      http.StatusBadRequest,
	Unidentified:        http.StatusUnauthorized,
	Denied:              http.StatusForbidden,
	NotFound:            http.StatusNotFound,
	ActivationRequired:  http.StatusConflict,
	Pending:             http.StatusConflict,
	AmbiguousUser:       http.StatusConflict,
	BlockedByProfit:     http.StatusConflict,
	TooLarge:            http.StatusRequestEntityTooLarge,
	InvalidCode:         http.StatusUnprocessableEntity,
	TooManyRequests:     http.StatusTooManyRequests,
	Internal:            http.StatusInternalServerError,
	Unsupported:         http.StatusNotImplemented,
	ProfitUnavailable:   http.StatusServiceUnavailable,
	KeystoreUnavailable: http.StatusServiceUnavailable,
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
