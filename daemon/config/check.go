package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/profitd/profitd/profit"
)

// A text is at most this long. Profit's own limits are shorter, and not documented.
const maxText = 256

var (
	environmentTypes = []string{"production", "test", "accept", "cursus"}

	sid           = regexp.MustCompile(`^[Ss]-1(-[0-9]{1,15}){1,16}$`)
	languageRange = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9*;=., -]*$`)
	placeholder   = regexp.MustCompile(`\{(name|domain|upn)\}`)
)

func filled(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func printable(s string) error {
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must not hold control characters or invisible ones")
	case s != strings.TrimSpace(s):
		return errors.New("must not start or end with a space")
	case len(s) > maxText:
		return fmt.Errorf("must not be longer than %d bytes", maxText)
	}
	return nil
}

// headerWord is what keys and the integration id are: they travel in headers and bodies as they are.
func headerWord(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) || len(s) > maxText {
		return fmt.Errorf("must be one word of at most %d letters, digits and signs", maxText)
	}
	return nil
}

func oneOf(words ...string) rule {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func environment(s string) error {
	_, err := profit.BaseURL(s, "production")
	if err != nil {
		return errors.New(`must have five digits, such as "12345"`)
	}
	return nil
}

func profitURL(s string) error {
	if _, err := profit.NormalizeURL(s); err != nil {
		return fmt.Errorf("is not in order: %w", err)
	}
	return printable(s)
}

func proxyURL(s string) error {
	u, err := url.Parse(s)
	schemes := []string{"http", "https", "socks5", "socks5h"}
	if s != "" && (err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme)) {
		return errors.New("must be a URL such as http://proxy.example.com:3128")
	}
	return nil
}

func languages(s string) error {
	if !languageRange.MatchString(s) || len(s) > maxText {
		return errors.New(`must be as in the header Accept-Language, such as "nl" or "nl-NL, en;q=0.5"`)
	}
	return nil
}

// account takes ria, CORP\ria, ria@corp.example, S-1-5-21-… and uid:1002.
func account(s string) error {
	switch {
	case s == "*":
		return errors.New(`must not be everybody: name the domain, such as "CORP\\*"`)
	case strings.Contains(s, "*"):
		return errors.New("must name one account: only users with a placeholder in their id take a domain's all")
	case strings.HasPrefix(s, "gid:"):
		return errors.New("is a group: it belongs under groups")
	}
	return numbered(s, "uid:")
}

// accountOrDomain takes CORP\* and *@corp.example besides.
func accountOrDomain(s string) error {
	if !strings.Contains(s, "*") || s == "*" {
		return account(s)
	}
	domain, before := strings.CutSuffix(s, `\*`)
	if !before {
		domain, _ = strings.CutPrefix(s, "*@")
	}
	if domain == "" || strings.ContainsAny(domain, `*\@`) {
		return errors.New(`must be a domain's all, such as "CORP\\*" or "*@corp.example"`)
	}
	return nil
}

func group(s string) error {
	switch {
	case strings.Contains(s, "*"):
		return errors.New("must name one group, without *")
	case strings.HasPrefix(s, "uid:"):
		return errors.New("is an account: it belongs under accounts")
	}
	return numbered(s, "gid:")
}

func numbered(s, prefix string) error {
	if number, ok := strings.CutPrefix(s, prefix); ok {
		if _, err := strconv.ParseUint(number, 10, 32); err != nil {
			return fmt.Errorf("must have a number after %s", prefix)
		}
	}
	if strings.HasPrefix(strings.ToUpper(s), "S-1-") && !sid.MatchString(s) {
		return errors.New("must be a whole SID, such as S-1-5-21-1004336348-1177238915-682003330-512")
	}
	return nil
}

// finish checks what only the whole can show, reads what the files point to, and completes the Config.
func (l *loader) finish() {
	c := l.config
	if c.Device.Description == "" {
		l.problem(Pos{File: l.kept.Path}, "device.description is missing, and this device has no host name")
	}
	if at, given := l.given["\x00.network\x00.ca_file"]; given && c.Network.CAFile != "" {
		c.Network.CA = l.pointed(at, c.Network.CAFile, false)
		if c.Network.CA != nil && !x509.NewCertPool().AppendCertsFromPEM(c.Network.CA) {
			l.problem(at, "network.ca_file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
	}
	taken := newClaims()
	lower := map[string]*connector{}
	for _, conn := range l.order {
		if other := lower[strings.ToLower(conn.Name)]; other != nil {
			conn.fail("", "differs from another connector in case alone: that is at %s", other.Pos)
		}
		lower[strings.ToLower(conn.Name)] = conn
		conn.finish()
		conn.unique(taken)
		c.Connectors = append(c.Connectors, conn.Connector)
	}
	for _, f := range l.kept.Files {
		c.Files = append(c.Files, f.Name)
	}
	c.SHA256 = l.kept.sum()
	c.sources = l.kept
}

// pointed reads a file that a setting at that place points to; nil after a problem.
func (l *loader) pointed(at Pos, name string, private bool) []byte {
	data, err := l.read(name, private, false)
	if err != nil {
		l.refuse(at, err)
	}
	return data
}
