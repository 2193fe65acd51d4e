package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/profitd/profitd/profit"
)

// settings is the language of the files, apart from that of a connector.
func (l *loader) settings() schema {
	c := l.config
	return schema{
		"device": tableOf(schema{
			"description": textOf(&c.Device.Description, filled, printable),
		}),
		"network": tableOf(schema{
			"proxy":    textOf(&c.Network.Proxy, proxyURL),
			"no_proxy": textOf(&c.Network.NoProxy, printable),
			"ca_file":  pathOf(&c.Network.CAFile, printable),
			"language": textOf(&c.Network.Language, filled, languages),
			"timeout":  durationOf(&c.Network.Timeout, time.Second, 900*time.Second),
		}),
		"keystore": tableOf(schema{
			"backend": textOf(&c.Keystore.Backend, oneOf("auto", "keychain", "wincred", "secret-service", "sealed")),
		}),
		"otp": tableOf(schema{
			"spread":    durationOf(&c.OTP.Spread, 0, 168*time.Hour),
			"retention": durationOf(&c.OTP.Retention, time.Minute, 8760*time.Hour),
		}),
		"helpdesk": tableOf(schema{
			"accounts": namesOf(&c.Helpdesk.Accounts, account),
			"groups":   namesOf(&c.Helpdesk.Groups, group),
		}),
		"connectors": func(v value) {
			for _, child := range v.children() {
				if c := l.connector(child); c != nil {
					child.table(c.settings())
				}
			}
		},
	}
}

func (c *connector) settings() schema {
	return schema{
		"description":          textOf(&c.Description, filled, printable),
		"environment":          textOf(&c.Environment, environment),
		"type":                 textOf(&c.Type, oneOf(environmentTypes...)),
		"url":                  textOf(&c.BaseURL, profitURL),
		"soap_url":             textOf(&c.SOAPURL, profitURL),
		"otp_api":              textOf(&c.otpAPI, oneOf("rest", "soap")),
		"enrol":                textOf(&c.enrol, oneOf("at_once", "on_request")),
		"api_key":              secretOf(&c.APIKey),
		"environment_key":      secretOf(&c.EnvironmentKey),
		"environment_key_file": pathOf(&c.keyFile, filled, printable),
		"integration_id":       textOf(&c.IntegrationID, filled, headerWord),
		"users_file":           pathOf(&c.usersFile, filled, printable),
		"users": func(v value) {
			for _, user := range v.items() {
				c.user(user)
			}
		},
	}
}

func (c *connector) user(v value) {
	u := User{Pos: v.pos()}
	if tree, ok := v.data.(map[string]any); ok && tree["id"] == nil {
		v.fail("has no id: that of the Profit user")
	}
	v.table(schema{
		"id":       textOf(&u.ID, filled, printable),
		"accounts": namesOf(&u.Accounts, accountOrDomain),
		"groups":   namesOf(&u.Groups, group),
	})
	c.Users = append(c.Users, u)
}

// schema names the settings of a table and takes each one's value.
type schema map[string]func(value)

// value is a node of the tree with its place. What does not fit becomes a problem there; nothing of the value itself
// goes into the message.
type value struct {
	l    *loader
	text *text
	path string
	data any
}

func (v value) pos() Pos {
	line, column := v.text.find(v.path)
	return Pos{v.text.name, line, column}
}

func (v value) fail(format string, args ...any) {
	v.l.problem(v.pos(), "%s", dotted(v.path)+" "+fmt.Sprintf(format, args...))
}

// once tells whether a setting is given for the first time. The elements of arrays are not settings: they add up.
func (v value) once() bool {
	if strings.Contains(v.path, "\x00#") {
		return true
	}
	if first, found := v.l.given[v.path]; found {
		v.fail("is given twice: first at %s", first)
		return false
	}
	v.l.given[v.path] = v.pos()
	return true
}

// table hands each setting to the one who takes it.
func (v value) table(s schema) {
	for _, child := range v.children() {
		key := child.path[len(v.path)+2:]
		if take, known := s[key]; known {
			take(child)
			continue
		}
		child.fail("is unknown: %s", suggestion(key, s))
	}
}

func suggestion(key string, s schema) string {
	known := slices.Sorted(maps.Keys(s))
	for _, name := range known {
		if strings.EqualFold(name, key) {
			return "it is written " + name
		}
	}
	return "here may stand " + strings.Join(known, ", ")
}

// children are the values of a table in the order in which they stand.
func (v value) children() []value {
	tree, ok := v.data.(map[string]any)
	if !ok {
		v.fail("must be a table")
	}
	children := make([]value, 0, len(tree))
	for key, data := range tree {
		children = append(children, value{v.l, v.text, child(v.path, key), data})
	}
	slices.SortFunc(children, func(a, b value) int {
		return v.text.places[a.path].offset - v.text.places[b.path].offset
	})
	return children
}

// items are the elements of an array.
func (v value) items() []value {
	var elements []any
	switch data := v.data.(type) {
	case []any:
		elements = data
	case []map[string]any:
		for _, table := range data {
			elements = append(elements, table)
		}
	default:
		v.fail("must be a list")
	}
	items := make([]value, len(elements))
	for i, data := range elements {
		items[i] = value{v.l, v.text, item(v.path, i), data}
	}
	return items
}

// rule says what is wrong with a text, without repeating it.
type rule func(string) error

// check gives a copy of the text, which does not keep the whole file in memory, if it is one and passes the rules.
func (v value) check(rules ...rule) (string, bool) {
	text, ok := v.data.(string)
	if !ok {
		v.fail("must be text in quotes")
		return "", false
	}
	for _, rule := range rules {
		if err := rule(text); err != nil {
			v.fail("%s", err)
			return "", false
		}
	}
	return strings.Clone(text), true
}

func tableOf(s schema) func(value) {
	return func(v value) { v.table(s) }
}

func textOf(to *string, rules ...rule) func(value) {
	return func(v value) {
		if text, ok := v.check(rules...); v.once() && ok {
			*to = text
		}
	}
}

// pathOf takes the path of a file; a relative one starts at the folder of the file that names it.
func pathOf(to *string, rules ...rule) func(value) {
	return func(v value) {
		path, ok := v.check(rules...)
		if v.once() && ok {
			if path != "" && !filepath.IsAbs(path) {
				path = filepath.Join(v.text.dir, path)
			}
			*to = path
		}
	}
}

func secretOf(to *profit.Secret) func(value) {
	return func(v value) {
		if text, ok := v.check(filled, headerWord); v.once() && ok {
			*to = profit.NewSecret(text)
		}
	}
}

func durationOf(to *time.Duration, low, high time.Duration) func(value) {
	return func(v value) {
		text, ok := v.check()
		if !v.once() || !ok {
			return
		}
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			v.fail(`must be a duration such as "90s", "15m" or "168h"`)
		case d < low || d > high:
			v.fail("must lie between %s and %s", brief(low), brief(high))
		default:
			*to = d
		}
	}
}

// brief is "15m" where Go says "15m0s".
func brief(d time.Duration) string {
	text := d.String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func namesOf(to *[]string, is rule) func(value) {
	return func(v value) {
		var names []string
		for _, item := range v.items() {
			if name, ok := item.check(filled, printable, is); ok {
				names = append(names, name)
			}
		}
		if v.once() {
			*to = names
		}
	}
}
