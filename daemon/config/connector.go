package config

import (
	"strings"

	"github.com/profitd/profitd/profit"
)

// connector is a Connector while its settings are being gathered from the files.
type connector struct {
	Connector
	l    *loader
	path string

	otpAPI, enrol      string
	keyFile, usersFile string
}

// connector gives the one that a table belongs to; several files may have parts of it. It is nil if v cannot be one.
func (l *loader) connector(v value) *connector {
	if _, ok := v.data.(map[string]any); !ok {
		v.fail("must be a table")
		return nil
	}
	if c := l.connectors[v.path]; c != nil {
		return c
	}
	name := strings.Clone(strings.TrimPrefix(v.path, child("\x00.connectors", "")))
	for _, rule := range []rule{filled, printable} {
		if err := rule(name); err != nil {
			v.fail("is no name for a connector: it %s", err)
			return nil
		}
	}
	if name == "." || name == ".." {
		v.fail("is no name for a connector: clients take it for a path")
		return nil
	}
	c := &connector{l: l, path: v.path}
	c.Name, c.Pos = name, v.pos()
	l.connectors[v.path] = c
	l.order = append(l.order, c)
	return c
}

// at tells where a setting of the connector stands, if it does.
func (c *connector) at(setting string) (Pos, bool) {
	at, given := c.l.given[child(c.path, setting)]
	return at, given
}

// fail reports a problem at a setting or, where that was not given, at the connector.
func (c *connector) fail(setting, format string, args ...any) {
	path, at := c.path, c.Pos
	if setting != "" {
		path = child(path, setting)
		if given, ok := c.at(setting); ok {
			at = given
		}
	}
	c.l.problem(at, dotted(path)+" "+format, args...)
}

func (c *connector) missing(setting, message string) {
	if !c.l.partial {
		c.fail(setting, "%s", message)
	}
}

// finish completes the connector from all that was given.
func (c *connector) finish() {
	if c.Description == "" {
		c.Description = c.Name
	}
	c.SOAP = c.otpAPI == "soap"
	c.OnRequest = c.enrol == "on_request"
	c.address()
	c.keys()
	for i := range c.Users {
		c.finishUser(&c.Users[i])
	}
	if at, given := c.at("users_file"); given && c.usersFile != "" {
		if data := c.l.pointed(at, c.usersFile, true); data != nil {
			c.readUsers(data)
		}
	} else if len(c.Users) == 0 && !c.l.partial {
		c.l.warn(c.Pos, dotted(c.path)+" has no users: nobody may use it")
	}
}

// address finds the URLs: given, or from environment and type.
func (c *connector) address() {
	_, url := c.at("url")
	_, environment := c.at("environment")
	switch {
	case url:
		for _, other := range []string{"environment", "type"} {
			if _, given := c.at(other); given {
				c.fail(other, "must not stand beside url: one or the other")
			}
		}
		c.BaseURL = strings.TrimRight(c.BaseURL, "/")
		c.SOAPURL = strings.TrimRight(c.SOAPURL, "/")
		if _, given := c.at("soap_url"); c.SOAP && !given {
			c.missing("otp_api", "is soap: then url needs soap_url beside it")
		}
		return
	case !environment:
		c.missing("environment", `is missing: five digits, such as "12345" (or give url)`)
	}
	if _, given := c.at("soap_url"); given {
		c.fail("soap_url", "goes with url alone: with an environment it is known")
	}
	if c.Type == "" {
		c.Type = "production"
	}
	if c.Environment != "" {
		c.BaseURL, _ = profit.BaseURL(c.Environment, c.Type) // both are checked
		c.SOAPURL, _ = profit.SOAPURL(c.Environment, c.Type)
	}
}

func (c *connector) keys() {
	if _, given := c.at("api_key"); !given {
		c.missing("api_key", "is missing: Profit shows it in the app connector's properties")
	}
	_, here := c.at("environment_key")
	at, elsewhere := c.at("environment_key_file")
	switch {
	case here && elsewhere:
		c.fail("environment_key_file", "must not stand beside environment_key: one or the other")
	case !here && !elsewhere:
		c.missing("environment_key", "is missing (or give environment_key_file): Profit shows it in the app connector's properties")
	case elsewhere && c.keyFile != "":
		key := strings.TrimSpace(string(c.l.pointed(at, c.keyFile, true)))
		if err := headerWord(key); err != nil {
			c.fail("environment_key_file", "names a file that holds no key: it %s", err)
		}
		c.EnvironmentKey = profit.NewSecret(key)
	}
}

// finishUser checks what the parts of a line of users make together.
func (c *connector) finishUser(u *User) {
	fail := func(message string) { c.l.problem(u.Pos, "%s", dotted(c.path)+".users "+message) }
	domain := false
	for _, account := range u.Accounts {
		domain = domain || strings.Contains(account, "*")
	}
	u.Template = placeholder.MatchString(u.ID)
	u.OnRequest = c.OnRequest || u.Template
	switch {
	case u.ID == "": // reported
	case strings.ContainsAny(placeholder.ReplaceAllString(u.ID, ""), "{}"):
		fail("has an id with a placeholder that is none of {name}, {domain}, {upn}")
	case domain && !u.Template:
		fail("gives one id to a whole domain: put {name} or {upn} into the id")
	case u.Template && !domain && len(u.Groups) == 0:
		fail(`has a placeholder in its id, but no domain such as "CORP\\*" and no group for which it could stand`)
	case len(u.Accounts) > 1 && domain && !strings.Contains(u.ID, "{domain}") && !strings.Contains(u.ID, "{upn}"):
		c.l.warn(u.Pos, dotted(c.path)+".users has a template for several domains whose accounts of the same name share one Profit user: "+
			"put {domain} or {upn} into the id, if they are different people")
	case len(u.Accounts)+len(u.Groups) == 0:
		c.l.warn(u.Pos, dotted(c.path)+".users has a line that nobody may use: it names neither accounts nor groups")
	}
}
