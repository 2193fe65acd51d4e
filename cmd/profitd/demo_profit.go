package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/profit/profittest"
)

// simulation is a simulated Profit for each environment that the demo needs.
type simulation struct {
	mu      sync.Mutex // guards servers
	servers map[string]*profittest.Server
}

func newSimulation() *simulation { return &simulation{servers: map[string]*profittest.Server{}} }

// environment returns the simulated Profit that stands for a base URL.
func (s *simulation) environment(baseURL string) *profittest.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.servers[baseURL] == nil {
		s.servers[baseURL] = profittest.NewServer()
	}
	return s.servers[baseURL]
}

func (s *simulation) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.servers {
		server.Close()
	}
}

// rootCAs are the root certificates of all the simulated environments, in PEM.
func (s *simulation) rootCAs() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var roots []byte
	for _, server := range s.servers {
		roots = append(roots, server.RootCA()...)
	}
	return roots
}

// story is what the demo tells of: one app connector and two users.
type story struct {
	server    *profittest.Server
	connector profittest.Connector
	users     []profittest.User
}

func (s *simulation) story() story {
	server := s.environment("")
	connector := server.AddConnector(profittest.Connector{
		Description: "Payroll desktop", Group: "payroll",
		GetConnectors: map[string][]map[string]any{"Employees": {{"Name": "Jan Jansen"}, {"Name": "Ria de Vries"}}},
	})
	var users []profittest.User
	for _, name := range []string{"jan", "ria"} {
		users = append(users, server.AddUser(profittest.User{
			ID: "12345." + name, Email: name + "@example.com", Groups: []string{"payroll"},
		}))
	}
	return story{server, connector, users}
}

// call is a request to Profit as an application makes it, with the headers that profitd gave it.
func (s story) call(ctx context.Context, path string, headers map[string]string) (string, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.server.RootCA())
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		Timeout:   30 * time.Second,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL()+path, nil)
	if err != nil {
		return "", err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the simulated Profit answered %s: %s", response.Status, body)
	}
	return response.Status + " " + strings.TrimSpace(string(body)), nil
}

// file is a configuration as TOML has it.
type file struct {
	Device     map[string]string        `toml:"device,omitempty"`
	Network    map[string]string        `toml:"network"`
	Keystore   map[string]string        `toml:"keystore"`
	Connectors map[string]fileConnector `toml:"connectors"`
}

type fileConnector struct {
	Description    string     `toml:"description"`
	URL            string     `toml:"url"`
	SOAPURL        string     `toml:"soap_url"`
	OTPAPI         string     `toml:"otp_api"`
	Enrol          string     `toml:"enrol"`
	APIKey         string     `toml:"api_key"`
	EnvironmentKey string     `toml:"environment_key"`
	IntegrationID  string     `toml:"integration_id,omitempty"`
	Users          []fileUser `toml:"users"`
}

type fileUser struct {
	ID       string   `toml:"id"`
	Accounts []string `toml:"accounts"`
	Groups   []string `toml:"groups"`
}

func (f file) text() string {
	var text strings.Builder
	if err := toml.NewEncoder(&text).Encode(f); err != nil {
		panic(err) // strings alone
	}
	return text.String()
}

func newFile() file {
	return file{
		// No proxy: the simulated Profit is on this machine.
		Network:    map[string]string{"ca_file": "profit-root.pem", "proxy": "", "no_proxy": "*"},
		Keystore:   map[string]string{"backend": "sealed"},
		Connectors: map[string]fileConnector{},
	}
}

// ownConfig is the configuration of the story, in which the account owns the users' entries.
func ownConfig(s story, account string, users []profittest.User) string {
	f := newFile()
	c := fileConnector{
		Description: s.connector.Description, URL: s.server.URL(), SOAPURL: s.server.SOAPURL(), OTPAPI: "rest", Enrol: "at_once",
		APIKey: s.connector.APIKey, EnvironmentKey: s.connector.EnvironmentKey,
	}
	for _, user := range users {
		c.Users = append(c.Users, fileUser{ID: user.ID, Accounts: []string{account}})
	}
	f.Connectors["payroll"] = c
	return f.text()
}

// translate makes a configuration of an application's maker one whose connectors are all simulated, and lets the
// simulated Profits know them. Templates are left out: there is no domain here whose accounts could ask.
func (s *simulation) translate(conf *config.Config) (text string, leftOut int) {
	f := newFile()
	f.Device = map[string]string{"description": conf.Device.Description}
	for i := range conf.Connectors {
		c := &conf.Connectors[i]
		server := s.environment(c.BaseURL)
		connector := profittest.Connector{
			Description: c.Description, APIKey: c.APIKey.Reveal(), EnvironmentKey: c.EnvironmentKey.Reveal(),
		}
		server.AddConnector(connector)
		out := fileConnector{
			Description: c.Description, URL: server.URL(), SOAPURL: server.SOAPURL(), OTPAPI: "rest", Enrol: "at_once",
			APIKey: connector.APIKey, EnvironmentKey: connector.EnvironmentKey, IntegrationID: c.IntegrationID,
		}
		if c.SOAP {
			out.OTPAPI = "soap"
		}
		if c.OnRequest {
			out.Enrol = "on_request"
		}
		for _, user := range c.Users {
			if user.Template {
				leftOut++
				continue
			}
			server.AddUser(profittest.User{ID: user.ID, Email: mailbox(user.ID)})
			out.Users = append(out.Users, fileUser{user.ID, user.Accounts, user.Groups})
		}
		f.Connectors[c.Name] = out
	}
	return f.text(), leftOut
}

// mailbox is where the simulated Profit mails a user's codes.
func mailbox(user string) string {
	if strings.Contains(user, "@") {
		return user
	}
	return user + "@example.com"
}
