package profittest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Message is a mail with an activation code.
type Message struct {
	User      string // the user's ID
	To        string // the user's e-mail address
	Subject   string // carries the app connector's description
	Body      string // plain text, with the code in two groups of four digits
	Code      string // the code, eight digits
	Connector string // the app connector's API key
	At        time.Time
}

// Mails lists what was mailed to a user so far, oldest first; to everybody if user is "".
func (p *Profit) Mails(user string) []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.mail), func(m Message) bool { return user != "" && !m.isFor(user) })
}

// WaitMail returns the next mail to a user that it has not returned before, and waits for it if need be.
func (p *Profit) WaitMail(ctx context.Context, user string) (Message, error) {
	for {
		p.mu.Lock()
		key := strings.ToLower(user)
		for i := p.read[key]; i < len(p.mail); i++ {
			if p.mail[i].isFor(user) {
				m := p.mail[i]
				p.read[key] = i + 1
				p.mu.Unlock()
				return m, nil
			}
		}
		arrived := p.arrived
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("no mail has come to %s: %w", user, ctx.Err())
		}
	}
}

// Mail yields every mail there is and then each one as it arrives, until the context ends.
func (p *Profit) Mail(ctx context.Context) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for next := 0; ; {
			p.mu.Lock()
			fresh, arrived := slices.Clone(p.mail[next:]), p.arrived
			next = len(p.mail)
			p.mu.Unlock()
			for _, m := range fresh {
				if ctx.Err() != nil || !yield(m) {
					return
				}
			}
			select {
			case <-arrived:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (p *Profit) deliverLocked(k code) {
	p.mail = append(p.mail, Message{
		User:      k.user.ID,
		To:        k.user.Email,
		Subject:   "Activation code for " + k.connector.Description,
		Body:      fmt.Sprintf(body, k.connector.Description, k.digits[:4], k.digits[4:]),
		Code:      k.digits,
		Connector: k.connector.APIKey,
		At:        k.at,
	})
	close(p.arrived)
	p.arrived = make(chan struct{})
}

const body = `Dear user,

An activation code was requested for %s.

    Activation code: %s %s

Enter this code in the application. It can be used once.
If you did not request it, please contact your administrator.

AFAS Profit
`

func (m Message) isFor(user string) bool {
	return strings.EqualFold(m.User, user) || strings.EqualFold(m.To, user)
}
