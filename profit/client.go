package profit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const maxBody = 1 << 20 // of an answer, after decompression

// Options describe one app connector of one environment.
type Options struct {
	BaseURL        string // where REST lives, see BaseURL; needed by every call
	SOAPURL        string // where SOAP lives, see SOAPURL; needed by UseSOAP and DeleteToken
	UseSOAP        bool   // ask for codes and trade them over SOAP, the only way to tell Profit the device's name
	APIKey         Secret // of the app connector
	EnvironmentKey Secret // of the app connector
	IntegrationID  string // a partner's, such as 12345_123456, sent with every call; "" sends none
	Device         string // the token's description in Profit, unique among the connector's tokens; told over SOAP only
}

// Client calls Profit for one app connector. It is made by [Network.Client] and safe for concurrent use.
//
// Every method returns an [*Error] if it fails. It waits for a place among the eight calls that may run in parallel
// in an environment as long as its context allows; the timeout of the [Network] starts when it has one.
type Client struct {
	network *Network
	options Options
}

// Client returns a client that calls over this network. It costs nothing, and there may be many. Options that cannot
// work are reported by the calls that need them, as [NotConfigured].
func (n *Network) Client(options Options) *Client {
	return &Client{network: n, options: options}
}

// RequestOTP has Profit mail an activation code to a user, named by id or e-mail address. Profit mails only if the
// user has an e-mail address, is a member of the app connector's group, and the app connector is not blocked; whether
// it says so otherwise is not documented.
func (c *Client) RequestOTP(ctx context.Context, user string) error {
	if c.options.UseSOAP {
		return c.generateOTP(ctx, user)
	}
	return c.otpRequest(ctx, user)
}

// ValidateOTP trades the activation code for a token. The code works once: if this fails and the error's Reached is
// not No, then the code may be spent and Profit may hold a token that nobody has.
func (c *Client) ValidateOTP(ctx context.Context, user string, code Secret) (Token, error) {
	if c.options.UseSOAP {
		return c.getTokenFromOTP(ctx, user, code)
	}
	return c.otpValidation(ctx, user, code)
}

// request is one HTTP request to Profit.
type request struct {
	op      string            // for the error
	method  string            //
	url     string            //
	header  map[string]string // spelled as Profit documents them
	body    []byte            //
	secrets []string          // what is in it that no error may show
	ignore  bool              // success needs no body: do not wait for one
}

// send makes one request and returns the body of a 2xx.
func (c *Client) send(ctx context.Context, r request) ([]byte, *Error) {
	if c.network == nil || c.network.transport == nil {
		return nil, unconfigured(r.op, "the client is not made by NewNetwork and Network.Client")
	}
	environment, err := NormalizeURL(c.options.BaseURL)
	if err != nil {
		return nil, unconfigured(r.op, "base URL: "+err.Error())
	}
	if !httpguts.ValidHeaderFieldValue(c.options.IntegrationID) {
		return nil, unconfigured(r.op, "the integration id has characters that no header can carry")
	}
	gate := c.network.gate(environment)
	if err := gate.enter(ctx); err != nil {
		return nil, &Error{Op: r.op, Kind: Unreachable, Reached: No, Err: newCause(err, nil)}
	}
	defer gate.leave()
	return c.exchange(ctx, r)
}

// exchange sends the request and reads the answer, within the network's timeout.
func (c *Client) exchange(ctx context.Context, r request) ([]byte, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.network.timeout)
	defer cancel()
	var journey journey
	httpRequest, err := c.httpRequest(journey.follow(ctx), r)
	if err != nil {
		return nil, unconfigured(r.op, err.Error())
	}
	response, err := c.network.transport.RoundTrip(httpRequest)
	if err != nil {
		return nil, &Error{Op: r.op, Kind: journey.kind(err), Reached: journey.reached(), Err: newCause(err, r.secrets)}
	}
	defer response.Body.Close()
	succeeded := response.StatusCode/100 == 2
	if succeeded && r.ignore {
		return nil, nil
	}
	body, err := readBody(response.Body)
	if !succeeded {
		return nil, refusal(r, response, body)
	}
	if err != nil {
		return nil, garbled(r, response.StatusCode, err)
	}
	return body, nil
}

func (c *Client) httpRequest(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		// A reader of a type that net/http does not know leaves GetBody nil: without it the transport cannot send
		// a POST again, not even where it deems that safe.
		body = struct{ io.Reader }{bytes.NewReader(r.body)}
	}
	request, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, errors.New("the URL cannot be called") // err quotes it
	}
	request.ContentLength = int64(len(r.body))
	request.Header["User-Agent"] = []string{"profitd"}
	if c.options.IntegrationID != "" {
		request.Header["IntegrationId"] = []string{c.options.IntegrationID}
	}
	if c.network.language != "" {
		request.Header["Accept-Language"] = []string{c.network.language}
	}
	for name, value := range r.header {
		request.Header[name] = []string{value}
	}
	return request, nil
}

// readBody returns what could be read even if there is an error.
func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return body, fmt.Errorf("it did not come to its end: %w", err)
	case err != nil:
		return body, errors.New("it is cut short or damaged")
	case len(body) > maxBody:
		return nil, errors.New("it is longer than 1 MiB")
	}
	// Servers on .NET may put a byte order mark in front.
	return bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF"))), nil
}

func unconfigured(op, why string) *Error {
	return &Error{Op: op, Kind: NotConfigured, Reached: No, Err: errors.New(why)}
}

// garbled says that a 2xx brought no answer. The request was carried out all the same, most probably.
func garbled(r request, status int, why error) *Error {
	return &Error{Op: r.op, Kind: Garbled, Status: status, Reached: Yes, Err: newCause(why, r.secrets)}
}

// shape says what a body looks like that is not what was expected. It quotes nothing.
func shape(body []byte, expected string) error {
	switch {
	case len(body) == 0:
		return errors.New("it is empty")
	case body[0] == '<' && strings.Contains(strings.ToLower(string(body[:min(len(body), 512)])), "<html"):
		return errors.New("it is a page for people, as a proxy or a portal sends")
	default:
		return fmt.Errorf("it is not %s", expected)
	}
}
