package profittest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Token is a token that Profit has issued and not deleted: a line of the app connector's tab "User tokens".
type Token struct {
	Connector string    // its API key
	User      string    // its ID
	Device    string    // the description
	XML       string    // <token><version>1</version><data>…</data></token>: what an application holds
	IssuedAt  time.Time //
	ExpiresAt time.Time // zero: never
}

// Authorization is the header with which an application uses the token.
func (t Token) Authorization() string {
	return "AfasToken " + base64.StdEncoding.EncodeToString([]byte(t.XML))
}

// Tokens lists the tokens, expired ones too, oldest first.
func (p *Profit) Tokens() []Token {
	p.mu.Lock()
	defer p.mu.Unlock()
	tokens := make([]Token, len(p.tokens))
	for i, t := range p.tokens {
		tokens[i] = *t
	}
	return tokens
}

// IssueToken issues a token without a code, for tests that begin there. A device "" gets a description made up. It
// panics if there is no such connector or user.
func (p *Profit) IssueToken(apiKey, user, device string) Token {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, u := p.connectorLocked(apiKey), p.userLocked(user)
	if c == nil || u == nil {
		panic("profittest: there is no such app connector or user")
	}
	return *p.issueLocked(c, u, device)
}

// DeleteToken deletes a token, as an administrator does on the tab "User tokens", and tells whether there was one.
func (p *Profit) DeleteToken(xml string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.tokens)
	p.tokens = slices.DeleteFunc(p.tokens, func(t *Token) bool { return t.XML == xml })
	return len(p.tokens) < before
}

// ExpireTokens has every token issued so far expire at a time, which may lie in the past. Zero means never.
func (p *Profit) ExpireTokens(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		t.ExpiresAt = at
	}
}

func (p *Profit) issueLocked(c *Connector, u *User, device string) *Token {
	p.issued++
	if device == "" {
		device = fmt.Sprintf("Token %d", p.issued)
	}
	t := &Token{
		Connector: c.APIKey,
		User:      u.ID,
		Device:    device,
		XML:       "<token><version>1</version><data>" + randomHex(32) + "</data></token>",
		IssuedAt:  time.Now(),
	}
	if p.behaviour.TokenLifetime > 0 {
		t.ExpiresAt = t.IssuedAt.Add(p.behaviour.TokenLifetime)
	}
	p.tokens = append(p.tokens, t)
	return t
}

// takenLocked tells whether a token of the connector has a description already.
func (p *Profit) takenLocked(c *Connector, device string) bool {
	return !p.behaviour.ShareDescriptions && slices.ContainsFunc(p.tokens, func(t *Token) bool {
		return t.Connector == c.APIKey && strings.EqualFold(t.Device, device)
	})
}

// authorize finds the token of an Authorization header, and its connector.
func (p *Profit) authorize(header string, from netip.Addr) (Token, Connector, *refusal) {
	encoded, isToken := strings.CutPrefix(header, "AfasToken ")
	if !isToken {
		return Token{}, Connector{}, status(http.StatusUnauthorized)
	}
	xml, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Token{}, Connector{}, refuse("The token is not in base64.")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.tokens, func(t *Token) bool { return t.XML == string(xml) })
	if i < 0 {
		return Token{}, Connector{}, status(http.StatusUnauthorized)
	}
	t := p.tokens[i]
	c := p.connectorLocked(t.Connector)
	switch {
	case c.Blocked, !t.ExpiresAt.IsZero() && !time.Now().Before(t.ExpiresAt):
		return Token{}, Connector{}, status(http.StatusUnauthorized)
	case !c.admits(from):
		return Token{}, Connector{}, status(http.StatusForbidden)
	}
	connector := *c
	connector.GetConnectors = maps.Clone(c.GetConnectors)
	return *t, connector, nil
}
