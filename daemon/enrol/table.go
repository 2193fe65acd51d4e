package enrol

// event is something that happens to an entry.
type event string

// The events, in the order of the table in the package comment.
const (
	appeared      event = "appeared"       // new in the configuration, and the keystore holds nothing of it
	asked         event = "asked"          // an owner asks for the token
	codeAsked     event = "code_asked"     // a person asks for a code
	due           event = "due"            // next_attempt_at has come
	sent          event = "sent"           // Profit has mailed a code
	unanswered    event = "unanswered"     // the request for a code left us and no answer came
	failed        event = "failed"         // no code now, worth another try: 403, 503, no connection
	refused       event = "refused"        // no code, and asking again would not help
	codeTried     event = "code_tried"     // a person enters a code
	issued        event = "issued"         // the code was right: a token
	wrong         event = "wrong"          // Profit did not accept the code
	untried       event = "untried"        // the code has not been looked at
	spent         event = "spent"          // the code left us and no token came back
	stored        event = "stored"         // the keystore holds the token
	tokenRefused  event = "token_refused"  // two 401s at least five seconds apart
	tokenAccepted event = "token_accepted" // Profit takes a token again that it had refused
	expiring      event = "expiring"       // the token's end is near
	keyLost       event = "key_lost"       // the keystore has lost the token
	reset         event = "reset"          // start anew, with a new code
	resetIdle     event = "reset_idle"     // start anew when somebody asks
	changed       event = "changed"        // a setting changed that Profit's answer may depend on
	restarted     event = "restarted"      // the service starts
	found         event = "found"          // at the start: the keystore holds the token of this generation, or an older one while idle
)

// Cells of the table that are no states.
const (
	stays  State = "-"
	never  State = "."
	enrols State = "enrol" // requesting, or idle for an on_request entry when nobody asked
)

var states = []State{Idle, Requesting, AwaitingCode, Validating, Storing, Active, Blocked}

// table is total: a row an event, a column a state in the order of states.
var table = map[event][7]State{
	appeared:      {enrols, stays, stays, stays, stays, stays, stays},
	asked:         {Requesting, stays, stays, stays, stays, stays, stays},
	codeAsked:     {Requesting, stays, Requesting, stays, stays, Requesting, Requesting},
	due:           {stays, stays, stays, stays, stays, stays, Requesting},
	sent:          {never, AwaitingCode, never, never, never, never, never},
	unanswered:    {never, AwaitingCode, never, never, never, never, never},
	failed:        {never, stays, never, never, never, never, never},
	refused:       {never, Blocked, never, never, never, never, never},
	codeTried:     {never, never, Validating, never, never, never, never},
	issued:        {never, never, never, Storing, never, never, never},
	wrong:         {never, never, never, AwaitingCode, never, never, never},
	untried:       {never, never, never, AwaitingCode, never, never, never},
	spent:         {never, never, never, Requesting, never, never, never},
	stored:        {never, never, never, never, Active, never, never},
	tokenRefused:  {stays, stays, stays, stays, stays, enrols, stays},
	tokenAccepted: {Active, Active, Active, stays, stays, stays, Active},
	expiring:      {stays, stays, stays, stays, stays, Requesting, stays},
	keyLost:       {stays, stays, stays, stays, stays, enrols, stays},
	reset:         {Requesting, Requesting, Requesting, Requesting, Requesting, Requesting, Requesting},
	resetIdle:     {Idle, Idle, Idle, Idle, Idle, Idle, Idle},
	changed:       {stays, stays, stays, stays, stays, stays, Requesting},
	restarted:     {stays, stays, stays, AwaitingCode, Idle, stays, stays},
	found:         {Active, Active, Active, Active, Active, stays, Active},
}

// next looks the event up. It returns the state it came from for "no change", and never for "cannot happen".
func next(from State, ev event, onRequest bool) State {
	for column, state := range states {
		if state != from {
			continue
		}
		switch to := table[ev][column]; to {
		case stays:
			return from
		case enrols:
			if onRequest {
				return Idle
			}
			return Requesting
		default:
			return to
		}
	}
	return never
}
