// Package enrol obtains and keeps the tokens of this device: it asks Profit for codes, trades codes for tokens,
// stores tokens in the keystore, notices when Profit no longer takes one, and remembers all of it over restarts
// and power failures.
//
// An Enroller holds one entry per identity (base URL, API key, Profit user; the caller hashes the three into a key).
// What is true of an entry stands in its record, which is on disk before anything is done about it. The states and
// what moves an entry from one to another are one table. Read it as: in the state of the column, the event of the
// row leads to the state in the cell; "-" is no change, "." cannot happen, and "enrol" is requesting, or idle for an
// on_request entry when nobody asked:
//
//	event            idle        requesting    awaiting_code validating    storing       active        blocked
//	appeared         enrol       -             -             -             -             -             -
//	asked            requesting  -             -             -             -             -             -
//	code_asked       requesting  -             requesting    -             -             requesting    requesting
//	due              -           -             -             -             -             -             requesting
//	sent             .           awaiting_code .             .             .             .             .
//	unanswered       .           awaiting_code .             .             .             .             .
//	failed           .           -             .             .             .             .             .
//	refused          .           blocked       .             .             .             .             .
//	code_tried       .           .             validating    .             .             .             .
//	issued           .           .             .             storing       .             .             .
//	wrong            .           .             .             awaiting_code .             .             .
//	untried          .           .             .             awaiting_code .             .             .
//	spent            .           .             .             requesting    .             .             .
//	stored           .           .             .             .             active        .             .
//	token_refused    -           -             -             -             -             enrol         -
//	token_accepted   active      active        active        -             -             -             active
//	expiring         -           -             -             -             -             requesting    -
//	key_lost         -           -             -             -             -             enrol         -
//	reset            requesting  requesting    requesting    requesting    requesting    requesting    requesting
//	reset_idle       idle        idle          idle          idle          idle          idle          idle
//	changed          -           -             -             -             -             -             requesting
//	restarted        -           -             -             awaiting_code idle          -             -
//	found            active      active        active        active        active        -             active
//
// An answer of Profit is an event of the enrolment that asked for it: each arrival in requesting begins a new
// generation, and an answer to an older one changes nothing. A reset raises the floor: nothing from below it is
// served or stored again. An entry that leaves the configuration is orphaned, whatever its state: it is not served,
// nothing is asked of Profit for it, and its state waits for it to return until the retention is over.
//
// At the start the keystore is believed. A token of the current generation makes the entry active, whatever the
// record says; an older one that is not below the floor is the old token of a renewal or a refusal, and stays until a
// new one is active; one below the floor is deleted. What the keystore cannot give now is waited for, and meanwhile
// nothing is asked of Profit for the entry, and nothing is overwritten: unreadable is not lost.
//
// A request for a code that was under way when the service stopped counts as unanswered: the mail may have gone out,
// and a second one would void its code. A code that was being tried then may be spent; the person tries it once more
// or asks for a new one, because a restart sends no mail.
//
// What is known of Profit, and what is not, stands in package profit.
package enrol

import (
	"fmt"
	"time"

	"github.com/profitd/profitd/profit"
)

// State is where an entry stands.
type State string

// The states. Orphaned lies over the others: see View.State.
const (
	Idle         State = "idle"
	Requesting   State = "requesting"
	AwaitingCode State = "awaiting_code"
	Validating   State = "validating"
	Storing      State = "storing"
	Active       State = "active"
	Blocked      State = "blocked"
	Orphaned     State = "orphaned"
)

// Why an entry is in its state, in one word for programs.
const (
	ReasonNew             = "new"
	ReasonReset           = "reset"
	ReasonRefusedToken    = "refused_token"
	ReasonExpiring        = "expiring"
	ReasonKeyLost         = "key_lost"
	ReasonIPRestricted    = "ip_restricted"
	ReasonWrongKey        = "wrong_key"
	ReasonRefusedByProfit = "refused_by_profit"
	ReasonUnreachable     = "unreachable"
	ReasonMaintenance     = "maintenance"
	ReasonTLS             = "tls"
	ReasonPerhapsMailed   = "perhaps_mailed"
)

// Entry is one (connector, user) of the configuration, as the Enroller needs to know it.
type Entry struct {
	Key       string // the identity, hashed
	About     About
	BaseURL   string // normalised: names the environment for the limits on mails and calls
	Client    *profit.Client
	OnRequest bool   // the mail goes out when somebody asks, not by itself
	Revision  string // changes when a setting does that may turn Profit's refusal into consent
}

// About is what people see of an entry. It is kept in the record, so that an orphan can still be named.
type About struct {
	Connector   string `json:"connector"`
	Description string `json:"description,omitzero"`
	Environment string `json:"environment,omitzero"`
	Type        string `json:"type,omitzero"`
	User        string `json:"user"`
}

// Status is what may be told of an entry. It holds no secret.
type Status struct {
	State         State     `json:"state"`
	Reason        string    `json:"reason,omitzero"`
	Message       string    `json:"message,omitzero"` // for people
	LogReference  string    `json:"log_reference,omitzero"`
	Since         time.Time `json:"since"`
	RequestedAt   time.Time `json:"requested_at,omitzero"`
	RequestedBy   string    `json:"requested_by,omitzero"` // empty: the service by itself
	ActivatedBy   string    `json:"activated_by,omitzero"`
	Attempts      int       `json:"attempts,omitzero"` // codes that Profit did not accept
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	Mail          string    `json:"mail,omitzero"` // "sent", or "perhaps" when no answer came
	Fingerprint   string    `json:"fingerprint,omitzero"`
	IssuedAt      time.Time `json:"issued_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
}

// View is an entry at one moment. It never changes, nor does what it points to: a newer one takes its place.
type View struct {
	Key    string
	About  *About
	Status *Status
	Token  profit.Token // the token to serve; zero when there is none
	Unread bool         // the keystore has not yet said whether it holds a token
	Orphan bool
}

// State is the entry's state, or Orphaned.
func (v *View) State() State {
	if v.Orphan {
		return Orphaned
	}
	return v.Status.State
}

// Kind says why a call of a person or an application could not be carried out.
type Kind int

// The kinds of Error.
const (
	TooMany             Kind = iota // a limit on mails or verifications
	NotAwaiting                     // no code is awaited now
	WrongCode                       // Profit did not accept the code
	ProfitUnavailable               // Profit could not be asked, or asks for patience
	KeystoreUnavailable             // the keystore cannot take or give a token now
	RecordUnavailable               // the record cannot be written
	Unknown                         // there is no such entry
)

// Error tells why a call could not be carried out. View is the entry as it stands, nil if there is none.
type Error struct {
	Kind       Kind
	Message    string // for people
	RetryAfter time.Duration
	View       *View
}

func (e *Error) Error() string { return e.Message }

func unknown(key string) *Error {
	return &Error{Kind: Unknown, Message: fmt.Sprintf("no entry %.8s", key)}
}
