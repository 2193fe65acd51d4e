package profittest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Profit is one environment of Profit. It is safe for concurrent use, and everything can be changed at any time.
type Profit struct {
	closed chan struct{} // closed by Close
	once   sync.Once     // closes closed

	mu           sync.Mutex // guards everything below
	behaviour    Behaviour
	connectors   []*Connector
	users        []*User
	codes        []code
	tokens       []*Token
	issued       int // tokens ever issued, for their names
	mail         []Message
	read         map[string]int // by user: how much of mail WaitMail has passed
	arrived      chan struct{}  // closed and replaced when mail arrives
	faults       []*Fault
	calls        []*Call
	parallel     int
	maxParallel  int
	unreachable  bool
	disconnected func() // cuts a server's connections; nil without one
}

// Connector is an app connector. Two of them differ by API key.
type Connector struct {
	Description    string         // shown to people, also in the subject of the mail
	APIKey         string         // "" makes one up
	EnvironmentKey string         // "" makes one up
	Group          string         // users have to be in it; "" admits every user
	Blocked        bool           // mails no code and takes no token
	AllowFrom      []netip.Prefix // IP restrictions; none admits every address

	// GetConnectors are what applications read: by id, the rows. Ids are not case-sensitive.
	GetConnectors map[string][]map[string]any
}

// User is a Profit user, found by ID or e-mail address, in any case.
type User struct {
	ID     string // such as 12345.jan
	Email  string // without one, no code can be mailed
	Groups []string
}

// Behaviour is what Profit does where AFAS is silent. The zero value is the default.
type Behaviour struct {
	// RefuseWithoutMail answers 500 with a message when a code cannot be mailed: the user is unknown, has no e-mail
	// address or is not in the group, or the connector is blocked. By default that is a 200 like any other.
	RefuseWithoutMail bool
	// WrongCode is the status of the answer to a wrong, spent or expired code: 400, 401 or 500; 0 means 500.
	WrongCode int
	// CodeLifetime is how long a code works; 0 means until it is used.
	CodeLifetime time.Duration
	// KeepEarlierCodes lets every code work that a user was mailed, not only the last.
	KeepEarlierCodes bool
	// TokenLifetime is how long a new token works; 0 means for ever.
	TokenLifetime time.Duration
	// ExpiryLayout is how MetaInfo writes tokenExpiry, as in time.Format; "" means 2006-01-02. No expiry is "0".
	ExpiryLayout string
	// ShareDescriptions lets several tokens of a connector have one description. By default GenerateOTP refuses a
	// description that a token of the connector has already.
	ShareDescriptions bool
}

// NewProfit returns an environment without connectors and users, to be used as an http.Handler or by its Transport.
func NewProfit() *Profit {
	return &Profit{
		closed:  make(chan struct{}),
		arrived: make(chan struct{}),
		read:    make(map[string]int),
	}
}

// Close ends what faults hold up: those calls are cut.
func (p *Profit) Close() { p.once.Do(func() { close(p.closed) }) }

// SetBehaviour changes what Profit does where AFAS is silent, from the next call on.
func (p *Profit) SetBehaviour(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
}

// AddConnector sets up an app connector and returns it with its keys.
func (p *Profit) AddConnector(c Connector) Connector {
	if c.APIKey == "" {
		c.APIKey = randomHex(16)
	}
	if c.EnvironmentKey == "" {
		c.EnvironmentKey = randomHex(32)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connectorLocked(c.APIKey) != nil {
		panic("profittest: there is an app connector with this API key already")
	}
	p.connectors = append(p.connectors, &c)
	return c
}

// UpdateConnector changes an app connector, for example to block it. It panics if there is none with the API key.
func (p *Profit) UpdateConnector(apiKey string, change func(*Connector)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.connectorLocked(apiKey)
	if c == nil {
		panic("profittest: there is no app connector with this API key")
	}
	change(c)
}

// AddUser adds a user and returns it.
func (p *Profit) AddUser(u User) User {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.ID == "" || p.userLocked(u.ID) != nil {
		panic(fmt.Sprintf("profittest: a user needs an ID of its own, not %q", u.ID))
	}
	p.users = append(p.users, &u)
	return u
}

// UpdateUser changes a user, for example its groups. It panics if there is none.
func (p *Profit) UpdateUser(id string, change func(*User)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.userLocked(id)
	if u == nil {
		panic(fmt.Sprintf("profittest: there is no user %q", id))
	}
	change(u)
}

func (p *Profit) connectorLocked(apiKey string) *Connector {
	for _, c := range p.connectors {
		if c.APIKey == apiKey {
			return c
		}
	}
	return nil
}

func (p *Profit) userLocked(name string) *User {
	for _, u := range p.users {
		if strings.EqualFold(u.ID, name) || u.Email != "" && strings.EqualFold(u.Email, name) {
			return u
		}
	}
	return nil
}

// admits tells whether an IP restriction lets an address in.
func (c *Connector) admits(address netip.Addr) bool {
	return len(c.AllowFrom) == 0 || slices.ContainsFunc(c.AllowFrom, func(allowed netip.Prefix) bool {
		return allowed.Contains(address)
	})
}

// mails tells whether a code for the user can be mailed.
func (c *Connector) mails(u *User) bool {
	return u != nil && u.Email != "" && !c.Blocked && (c.Group == "" || slices.Contains(u.Groups, c.Group))
}

// code is an activation code that has been mailed and not been used.
type code struct {
	digits    string
	connector *Connector
	user      *User
	device    string
	at        time.Time
}

// refusal is how Profit says no.
type refusal struct {
	status  int
	message string // externalMessage, of a 500
}

func status(status int) *refusal { return &refusal{status: status} }

func refuse(message string) *refusal { return &refusal{http.StatusInternalServerError, message} }

// keysLocked finds the app connector that a call without a token names by its two keys.
func (p *Profit) keysLocked(apiKey, environmentKey string, from netip.Addr) (*Connector, *refusal) {
	c := p.connectorLocked(apiKey)
	switch {
	case c == nil || c.EnvironmentKey != environmentKey:
		return nil, status(http.StatusUnauthorized)
	case !c.admits(from):
		return nil, status(http.StatusForbidden)
	}
	return c, nil
}

// otp is what the calls that ask for a code and trade it have in common.
type otp struct {
	apiKey, environmentKey, user, device, code string
	from                                       netip.Addr
}

// requestCode mails a code, if it can be mailed.
func (p *Profit) requestCode(q otp) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, no := p.keysLocked(q.apiKey, q.environmentKey, q.from)
	if no != nil {
		return no
	}
	if q.device != "" && p.takenLocked(c, q.device) {
		return refuse("The description is in use by another token of this app connector.")
	}
	u := p.userLocked(q.user)
	if !c.mails(u) {
		if p.behaviour.RefuseWithoutMail {
			return refuse("No activation code can be sent to this user.")
		}
		return nil
	}
	if !p.behaviour.KeepEarlierCodes {
		p.codes = slices.DeleteFunc(p.codes, func(k code) bool { return k.connector == c && k.user == u })
	}
	k := code{randomDigits(8), c, u, q.device, time.Now()}
	p.codes = append(p.codes, k)
	p.deliverLocked(k)
	return nil
}

// tradeCode spends a code for a token.
func (p *Profit) tradeCode(q otp) (*Token, *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, no := p.keysLocked(q.apiKey, q.environmentKey, q.from)
	if no != nil {
		return nil, no
	}
	u := p.userLocked(q.user)
	i := slices.IndexFunc(p.codes, func(k code) bool { return k.connector == c && k.user == u && k.digits == q.code })
	if i < 0 || c.Blocked || p.behaviour.expired(p.codes[i]) {
		return nil, p.behaviour.wrongCode()
	}
	k := p.codes[i]
	if k.device != "" && p.takenLocked(c, k.device) {
		return nil, refuse("The description is in use by another token of this app connector.")
	}
	p.codes = slices.Delete(p.codes, i, i+1)
	return p.issueLocked(c, u, k.device), nil
}

func (b Behaviour) expired(k code) bool {
	return b.CodeLifetime > 0 && time.Since(k.at) >= b.CodeLifetime
}

func (b Behaviour) wrongCode() *refusal {
	if b.WrongCode == 0 || b.WrongCode == http.StatusInternalServerError {
		return refuse("The activation code is not valid.")
	}
	return status(b.WrongCode)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return strings.ToUpper(hex.EncodeToString(b))
}

func randomDigits(n int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	number, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(err) // never fails
	}
	return fmt.Sprintf("%0*d", n, number)
}
