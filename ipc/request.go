package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// call is one request, taken apart.
type call struct {
	server *Server
	conn   *conn
	peer   *Peer
	w      http.ResponseWriter
	r      *http.Request

	route *route
	ref   Ref
	query url.Values
	own   bool // it asks about the caller itself

	answered bool // by the call itself
}

func invalid(detail, hint string) *Error { return NewError(InvalidRequest, detail, hint) }

// parse finds the route and reads path and query. Nothing here depends on which entries there are.
func (c *call) parse() error {
	if c.r.ContentLength != 0 { // also where nobody wants the body: net/http would wait for it
		if err := c.conn.SetReadDeadline(time.Now().Add(c.server.limits.Body)); err != nil {
			return err
		}
	}
	switch {
	case c.conn.refused:
		c.w.Header().Set("Connection", "close")
		return NewError(TooManyRequests, "There are too many connections: of this account, or of all.",
			"Close connections that are not needed, and try again.")
	case c.peer.Anonymous:
		return NewError(Unidentified, "The system cannot say which account is calling.",
			unidentifiedHint)
	case len(c.r.Header["Origin"]) > 0 || len(c.r.Header["Referer"]) > 0:
		return NewError(Denied, "Requests of web pages are refused: this one has Origin or Referer.",
			"Ask from a program of this device, without these headers.")
	case !strings.HasPrefix(c.r.RequestURI, "/"):
		return invalid("The request does not name a path of this service.", "Send for example GET /v1/status.")
	}
	path, query, _ := strings.Cut(c.r.RequestURI, "?")
	if err := c.findRoute(path); err != nil {
		return err
	}
	return c.parseQuery(query)
}

// findRoute looks the path up as it was sent. It is taken as a list of names: nothing is cleaned or redirected, ".."
// has no meaning, and an encoded slash belongs to its name.
func (c *call) findRoute(path string) error {
	if path == "/v1/profit" || strings.HasPrefix(path, "/v1/profit/") {
		return NewError(Unsupported, "Calling Profit through profitd is not supported yet.",
			"Ask for the token with GET /v1/tokens/{connector}/{user} and call Profit with its headers.")
	}
	var allow []string
	for i := range routes {
		ref, matches, err := match(routes[i].path, path)
		if err != nil {
			return err
		}
		if matches && routes[i].method == c.r.Method {
			c.route, c.ref = &routes[i], ref
			return nil
		}
		if matches {
			allow = append(allow, routes[i].method)
		}
	}
	if allow != nil {
		c.w.Header()["Allow"] = allow
		return NewError(NotFound, "This path does not take that method.", "It takes "+strings.Join(allow, ", ")+".")
	}
	return NewError(NotFound, "There is no such path.",
		"Paths are as in /v1/tokens/{connector}/{user}; a slash or percent sign in a name is sent as %2F or %25.")
}

// match compares a path with a route's, name by name.
func match(pattern, path string) (ref Ref, matches bool, err error) {
	for pattern != "" && path != "" {
		var want, got string
		want, pattern = cutName(pattern)
		got, path = cutName(path)
		switch want {
		case "{connector}":
			ref.Connector, err = decodeName(got)
		case "{user}":
			ref.User, err = decodeName(got)
		default:
			if want != got {
				return Ref{}, false, nil
			}
			continue
		}
		if err != nil || got == "" {
			return Ref{}, false, err
		}
	}
	return ref, pattern == "" && path == "", nil
}

// cutName cuts "/v1/tokens" into "v1" and "/tokens".
func cutName(path string) (name, rest string) {
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// decodeName undoes the percent-encoding of a connector's or user's name.
func decodeName(name string) (string, error) {
	if strings.IndexByte(name, '%') >= 0 {
		decoded, err := url.PathUnescape(name)
		if err != nil {
			return "", invalid("A name in the path is not percent-encoded as it should be.", "Send a percent sign as %25.")
		}
		name = decoded
	}
	if !isText(name) {
		return "", invalid("A name in the path is not UTF-8 text, or has control characters.", "")
	}
	return name, nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// parseQuery reads the parameters that the route takes, each at most once, and refuses a body where none belongs.
func (c *call) parseQuery(query string) error {
	if c.r.Method == http.MethodGet && c.r.ContentLength != 0 {
		return invalid("This call takes no body.", "Leave it out.")
	}
	var err error
	if query != "" {
		if c.query, err = url.ParseQuery(query); err != nil {
			return invalid("The query is not percent-encoded as it should be.", "")
		}
	}
	for name, values := range c.query {
		if !slices.Contains(c.route.query, name) {
			hint := "This call takes none."
			if len(c.route.query) > 0 {
				hint = "This call takes " + strings.Join(c.route.query, ", ") + "."
			}
			return invalid("The query has a parameter that this call does not know.", hint)
		}
		if len(values) > 1 {
			return invalid("The parameter "+name+" is given more than once.", "Give it once.")
		}
		if values[0] == "" || !isText(values[0]) {
			return invalid("The parameter "+name+" is empty or no text.", "Give it a value, or leave it out.")
		}
	}
	account := c.query.Get("account")
	c.own = account == "" || slices.Contains(c.peer.Accounts, account)
	return nil
}

// maxWait is how long a token call may wait.
const maxWait = 5 * time.Minute

// tokenQuery reads the query of a token call.
func (c *call) tokenQuery() (query TokenQuery, err error) {
	if len(c.query) == 0 {
		return query, nil
	}
	if text := c.query.Get("wait"); text != "" {
		query.Wait, err = time.ParseDuration(text)
		if err != nil || query.Wait < 0 || query.Wait > maxWait {
			return query, invalid("The parameter wait is no duration from 0s to 5m.", "For example wait=60s.")
		}
	}
	if text := c.query.Get("until"); text != "" {
		if State(text) != Active {
			return query, invalid("The parameter until can only be active.", "Send until=active, or leave it out.")
		}
		query.UntilActive = true
	}
	query.Method = c.query.Get("method")
	if strings.ContainsFunc(query.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return query, invalid("The parameter method is no HTTP method.", "For example method=GET.")
	}
	query.URL = c.query.Get("url")
	if query.URL != "" {
		target, err := url.Parse(query.URL)
		if err != nil || target.Scheme != "https" || target.Host == "" {
			return query, invalid("The parameter url is no https URL.", "Send the URL of the request to Profit, percent-encoded.")
		}
	}
	return query, nil
}

// whileCallerWaits returns a context that ends when the caller hangs up or Shutdown begins.
func (c *call) whileCallerWaits() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(c.server.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// object reads the body, a JSON object, into the fields: no others, none twice, names exactly as here. No body at all
// is an object without fields.
func (c *call) object(fields map[string]any) error {
	if c.r.ContentLength == 0 {
		return nil
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	return decodeObject(body, fields)
}

func (c *call) body() ([]byte, error) {
	tooLarge := NewError(TooLarge, "The body is larger than 64 KiB.", "No call needs so much.")
	if c.r.ContentLength > maxBody {
		c.w.Header().Set("Connection", "close") // instead of reading it
		return nil, tooLarge
	}
	if kind := c.r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return nil, invalid("The body is not declared as JSON.", "Send Content-Type: application/json.")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var excess *http.MaxBytesError
	switch {
	case errors.As(err, &excess):
		return nil, tooLarge
	case err != nil:
		c.w.Header().Set("Connection", "close")
		return nil, invalid("The body did not come whole.", "Send as many bytes as Content-Length says, without pausing.")
	}
	return body, c.conn.SetReadDeadline(time.Time{}) // for the time that the call takes
}

// decodeObject is stricter than encoding/json, which takes a name in any case and the last of several.
func decodeObject(body []byte, fields map[string]any) error {
	noObject := invalid("The body is not one JSON object.", `Send for example {"code": "3426 4813"}.`)
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return noObject
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return noObject
		}
		field, ok := fields[name]
		if !ok {
			return invalid("The body has a field that this call does not know.", knownFields(fields))
		}
		if seen[name] {
			return invalid("The field "+name+" is given more than once.", "Give it once.")
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return noObject
		}
		if string(value) == "null" || json.Unmarshal(value, field) != nil {
			return invalid(fmt.Sprintf("The field %s is not of the right type.", name), wantedType(field))
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return noObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return noObject
	}
	return nil
}

func knownFields(fields map[string]any) string {
	if len(fields) == 0 {
		return "This call takes none: send {} or no body."
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return "This call takes " + strings.Join(names, ", ") + "."
}

func wantedType(field any) string {
	if _, ok := field.(*bool); ok {
		return "It is true or false."
	}
	return "It is text, in quotation marks."
}
