// Package config turns profitd's TOML files into a Config, strictly, and watches them.
//
// # What is read
//
// config.toml, then config.d/*.toml beside it in the order of their names (those that start with a dot are left
// out), then the files that these point to. Tables merge and [[users]] add up, so an application ships its
// connector's description and the administrator adds keys and users; a setting given twice is an error that names
// both places. Relative paths start at the folder of the file that names them. config.example.toml, at the root of
// the project, says what each setting does.
//
// # What it promises
//
//   - A Config is either whole or not there: everything that is wrong is reported at once, as Problems, each with
//     file, line and column. A problem quotes keys, never values: none can show a secret.
//   - A file without any content is an error, wherever it stands: it is what a full disk and a crash leave behind,
//     and must not remove a connector. A file with nothing but comments is one that somebody wrote, and is fine.
//   - Only what root (or, on an instance of their own, the person that runs it) alone can change is trusted, and keys
//     lie where nobody else reads them: by owner and mode, on Windows by owner and access list.
//   - A path that is a folder, a pipe or a device, or a file above 1 MiB, is refused and never waited for.
//   - What a parser cannot bear (nesting, long dotted keys) is refused before it parses.
//
// # Where its knowledge comes from
//
// The traps of github.com/BurntSushi/toml v1.6.0 were measured: it takes keys that differ in case for one, stops at
// the first type error, knows no position within arrays of tables, overflows the stack on nested arrays and needs
// gigabytes for a dotted key of 16 KB. So it checks the grammar here and builds the tree; where a key stands is
// found by a scan of our own, and the tree is walked against one table of settings. That of fsnotify: watch folders,
// take each event as a hint, and look by yourself now and then.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/profitd/profitd/profit"
)

// Config is everything the service was told, complete and checked.
type Config struct {
	Device struct {
		Description string // the device's name in Profit; the host name unless given
	}
	Network struct {
		Proxy, NoProxy string // empty: what the environment says
		CAFile         string // as read; empty: the system's root certificates alone
		CA             []byte // PEM of CAFile: at least one certificate
		Language       string // Accept-Language to Profit
		Timeout        time.Duration
	}
	Keystore struct {
		Backend string // auto, keychain, wincred, secret-service or sealed
	}
	OTP struct {
		Spread    time.Duration // wait a random time up to this before an automatic request
		Retention time.Duration // how long the record of a removed entry is kept
	}
	Helpdesk struct {
		Accounts, Groups []string
	}
	Connectors []Connector // in the order in which they appear

	Files    []string // every file that was read, in that order
	SHA256   string   // hex, over the names and contents of Files
	Warnings []string // "file:line:column: message": allowed, but hardly meant

	// sources is what Files held. It holds keys; fmt prints of a pointer within a struct the address alone.
	sources *snapshot
}

// Connector is one app connector of Profit.
type Connector struct {
	Name        string // its key in the configuration
	Description string // for people; Name unless given
	Environment string // five digits, empty where the URL was given
	Type        string // production, test, accept or cursus, empty where the URL was given
	BaseURL     string // of the REST services, without trailing slash
	SOAPURL     string // of the SOAP services, empty where the URL was given without it
	SOAP        bool   // one-time passwords go over SOAP, which tells Profit the device's description
	OnRequest   bool   // no mail before somebody asks

	APIKey, EnvironmentKey profit.Secret
	IntegrationID          string // empty: none

	Users []User // as written, then those of users_file
	Pos   Pos    // where it is first named
}

// User is one line of users: a Profit user and the accounts that may have its token.
type User struct {
	ID        string // with {name}, {domain} or {upn} in it if Template
	Accounts  []string
	Groups    []string
	Template  bool // makes an entry for each account that matches, when that account asks
	OnRequest bool // no mail before somebody asks: by the connector, as a template, or by users_file
	Pos       Pos
}

// Pos is a place in a file. Line and Column start at 1 and count characters; Line 0 means the file as a whole.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one thing that is wrong. Message never holds a value of the configuration.
type Problem struct {
	File         string
	Line, Column int // 0: the file as a whole
	Message      string
}

func (p Problem) String() string {
	return Pos{p.File, p.Line, p.Column}.String() + ": " + p.Message
}

// Problems is the error of a configuration that is not in order: all that is wrong with it, file by file.
type Problems []Problem

// Error has a line for each problem: file:line:column: message.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Identity names what a token belongs to: the connector's normalised base URL, its API key and the Profit user. It
// is a hex SHA-256, the key of the keystore; the connector's name and its environment key are no part of it.
func Identity(c *Connector, userID string) string {
	base, err := profit.NormalizeURL(c.BaseURL)
	if err != nil {
		base = c.BaseURL // no URL of a loaded Config
	}
	hash := sha256.New()
	for _, part := range []string{base, c.APIKey.Reveal(), userID} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
