package ipc

import (
	"fmt"
	"log/slog"
	"time"
)

// State is where an entry stands on its way to a token. A client takes a state it does not know as "not yet".
type State string

// The states.
const (
	Idle         State = "idle"          // nothing has been asked of Profit
	Requesting   State = "requesting"    // a code is to be asked for, now or at NextAttemptAt
	AwaitingCode State = "awaiting_code" // Profit has mailed a code
	Validating   State = "validating"    // a code is being tried
	Storing      State = "storing"       // a token has come and the keystore does not take it yet
	Active       State = "active"        // the token is in the keystore and is served
	Blocked      State = "blocked"       // Profit refused
	Orphaned     State = "orphaned"      // no longer in the configuration
)

// Ref names an entry: one user of one connector. User is empty where a call allows "my one user there".
type Ref struct {
	Connector string
	User      string
}

func (r Ref) String() string {
	if r.User == "" {
		return r.Connector
	}
	return r.Connector + "/" + r.User
}

// Entry is what people and programs may know about one user of one connector. It never holds a secret.
type Entry struct {
	ID          string `json:"id"` // stable while environment, API key and user stay the same
	Connector   string `json:"connector"`
	Description string `json:"description"`
	Environment string `json:"environment"`
	Type        string `json:"type"`
	User        string `json:"user"`
	Device      string `json:"device"`

	State              State      `json:"state"`
	Reason             string     `json:"reason,omitempty"`
	Message            string     `json:"message,omitempty"`
	ProfitLogReference string     `json:"profit_log_reference,omitempty"`
	Since              time.Time  `json:"since"`
	RequestedAt        *time.Time `json:"requested_at"`
	RequestedBy        string     `json:"requested_by,omitempty"`
	ActivatedBy        string     `json:"activated_by,omitempty"`
	Attempts           int        `json:"attempts"`
	NextAttemptAt      *time.Time `json:"next_attempt_at"`
	Mail               string     `json:"mail,omitempty"`        // "sent", or "perhaps" when no answer came
	Fingerprint        string     `json:"fingerprint,omitempty"` // first 8 hex digits of the token's SHA-256
	IssuedAt           *time.Time `json:"issued_at"`
	ExpiresAt          *time.Time `json:"expires_at"`

	Accounts []string `json:"accounts,omitempty"` // for helpdesk alone
	Groups   []string `json:"groups,omitempty"`   // for helpdesk alone
}

// EntryList is the answer to GET /v1/tokens.
type EntryList struct {
	Entries []Entry `json:"entries"`
}

// Token is what an application needs to call Profit. It prints without its secrets; JSON carries them.
type Token struct {
	Connector   string            `json:"connector"`
	User        string            `json:"user"`
	Device      string            `json:"device"`
	Description string            `json:"description"`
	BaseURL     string            `json:"base_url"`
	Headers     map[string]string `json:"headers"` // copy all of them onto the request
	Token       string            `json:"token"`   // the classic token's XML
	ValidUntil  *time.Time        `json:"valid_until"`
	IssuedAt    *time.Time        `json:"issued_at"`

	encoded []byte // see Encode
}

// Encode keeps the token's JSON in it, so that the server need not make it for each answer. Whoever calls it does so
// before the token is shared, and changes nothing afterwards.
func (t *Token) Encode() error {
	t.encoded = nil
	encoded, err := encode(t)
	t.encoded = encoded
	return err
}

// Format keeps the secrets out of every fmt verb.
func (t Token) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "token of %s for %s", t.User, t.Connector)
}

// LogValue keeps the secrets out of log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// TokenQuery is the query of a token call.
type TokenQuery struct {
	Wait        time.Duration // how long to wait while the entry is requesting or validating; at most 5 min
	UntilActive bool          // wait through awaiting_code as well
	Method      string        // the Profit request that the headers are for; accepted now, needed once a
	URL         string        // connector uses DPoP
}

// ResetRequest is the body of a reset. Absent fields have the values of DefaultReset.
type ResetRequest struct {
	Revoke bool `json:"revoke"`  // also delete the token in Profit
	Enrol  bool `json:"enrol"`   // ask for a new code afterwards
	DryRun bool `json:"dry_run"` // say what would happen, and do nothing
}

// DefaultReset is a reset as a body of {} asks for it.
var DefaultReset = ResetRequest{Enrol: true}

// Receipt says what a reset did, or with DryRun what it would do.
type Receipt struct {
	DryRun          bool   `json:"dry_run"`
	Before          Entry  `json:"before"`
	After           Entry  `json:"after"`
	DeletedHere     bool   `json:"deleted_here"`             // the token left, or will leave, this device's keystore
	DeletedInProfit bool   `json:"deleted_in_profit"`        // Profit confirmed that it deleted the token
	LeftInProfit    string `json:"left_in_profit,omitempty"` // which token Profit still lists, and where to delete it
}

// Explanation says whether an account may have an entry's token, and why.
type Explanation struct {
	Account string `json:"account"`
	Allowed bool   `json:"allowed"`
	By      string `json:"by,omitempty"`     // the configuration line that allows it: file:line
	Detail  string `json:"detail"`           // one sentence for people
	Change  string `json:"change,omitempty"` // if not allowed, what would have to change
}

// Status is the service as a whole.
type Status struct {
	Version       string        `json:"version"`
	API           []string      `json:"api"`
	StartedAt     time.Time     `json:"started_at"`
	UptimeSeconds int64         `json:"uptime_seconds"`
	Configuration Configuration `json:"configuration"`
	Keystore      Keystore      `json:"keystore"`
	Entries       map[State]int `json:"entries"` // how many entries are in each state
}

// Configuration is what the service knows about its files.
type Configuration struct {
	Files    []string   `json:"files"` // in the order they were read
	LoadedAt *time.Time `json:"loaded_at"`
	SHA256   string     `json:"sha256"`             // of all files together, as in force
	Refused  bool       `json:"refused"`            // the files on disk are not the ones in force
	Why      string     `json:"why,omitempty"`      // for helpdesk alone
	Warnings []string   `json:"warnings,omitempty"` // for helpdesk alone
}

// Keystore is where the tokens lie.
type Keystore struct {
	Backend string `json:"backend"`
	Key     string `json:"key"` // where its key lies, in plain words
	Healthy bool   `json:"healthy"`
	Detail  string `json:"detail,omitempty"` // what is wrong and what to do
}

// Whoami is how the service sees its caller: every form of account and group that a configuration line could name.
type Whoami struct {
	Accounts []string `json:"accounts"`
	Groups   []string `json:"groups"`
	PID      int      `json:"pid"`
	Program  string   `json:"program,omitempty"`
	Roles    []string `json:"roles"` // "owner", "helpdesk"
}

// Event is one message of the event stream: first a snapshot, then one entry per change.
type Event struct {
	Snapshot []Entry // the whole list, in the first event
	Entry    *Entry  // what changed
	Removed  string  // the id of an entry that is gone, or is no longer the caller's to see
}
