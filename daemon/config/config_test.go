package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
)

const payroll = `[connectors.payroll]
environment = "12345"
api_key = "8B44KEY"
environment_key = "941CKEY"
`

// folder makes a folder with files in it, as an administrator would leave them.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, dir string) *Config {
	t.Helper()
	c, err := Load(filepath.Join(dir, "config.toml"), Options{})
	must(t, err)
	return c
}

// A file with nothing in it but a comment is a configuration: all of it is default.
func TestDefaults(t *testing.T) {
	c := load(t, folder(t, map[string]string{"config.toml": "# nothing yet\n"}))
	host, err := os.Hostname()
	must(t, err)
	if c.Device.Description != host || c.Network.Language != "nl" || c.Network.Timeout != 2*time.Minute ||
		c.Keystore.Backend != "auto" || c.OTP.Spread != 0 || c.OTP.Retention != 168*time.Hour || len(c.Connectors) != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestConnector(t *testing.T) {
	dir := folder(t, map[string]string{
		"config.toml": "[connectors.payroll]\ndescription = \"Payroll desktop\"\nintegration_id = \"12345_1\"\n" +
			"users_file = \"people/users.csv\"\n",
		"config.d/10-keys.toml": "[connectors.payroll]\nenvironment = \"12345\"\ntype = \"test\"\notp_api = \"soap\"\n" +
			"api_key = \"8B44\"\nenvironment_key_file = \"key\"\n",
		"config.d/20-users.toml": "[[connectors.payroll.users]]\nid = \"12345.{name}\"\naccounts = [\n  'CORP\\*',\n]\n" +
			"[[connectors.payroll.users]]\nid = \"12345.jan\"\naccounts = [\"jan\", \"uid:1002\"]\ngroups = [\"gid:5\"]\n",
		"config.d/key":       "941C\r\n",
		"config.d/.#ed.toml": "an editor's lock file",
		"people/users.csv":   "\ufeffAccount,ID\r\n# a comment\nria, 12345.ria\n\"CORP\\kim\",12345.kim\nria2,12345.ria\n",
	})
	c := load(t, dir)
	if len(c.Connectors) != 1 {
		t.Fatalf("got %+v", c)
	}
	in := func(name string, line int) Pos { return Pos{filepath.Join(dir, name), line, 1} }
	want := Connector{
		Name: "payroll", Description: "Payroll desktop", Environment: "12345", Type: "test",
		BaseURL: "https://12345.resttest.afas.online/ProfitRestServices",
		SOAPURL: "https://12345.soaptest.afas.online/ProfitServices", SOAP: true,
		APIKey: profit.NewSecret("8B44"), EnvironmentKey: profit.NewSecret("941C"), IntegrationID: "12345_1",
		Users: []User{
			{ID: "12345.{name}", Accounts: []string{`CORP\*`}, Template: true, OnRequest: true, Pos: in("config.d/20-users.toml", 1)},
			{ID: "12345.jan", Accounts: []string{"jan", "uid:1002"}, Groups: []string{"gid:5"}, Pos: in("config.d/20-users.toml", 6)},
			{ID: "12345.ria", Accounts: []string{"ria", "ria2"}, OnRequest: true, Pos: in("people/users.csv", 3)},
			{ID: "12345.kim", Accounts: []string{`CORP\kim`}, OnRequest: true, Pos: in("people/users.csv", 4)},
		},
		Pos: in("config.toml", 1),
	}
	if !reflect.DeepEqual(c.Connectors[0], want) {
		t.Errorf("got  %+v\nwant %+v", c.Connectors[0], want)
	}
	if len(c.Files) != 5 || len(c.SHA256) != 64 || c.Warnings != nil {
		t.Errorf("files %q, sum %q, warnings %q", c.Files, c.SHA256, c.Warnings)
	}
}

// What the project ships must load, as it is and with everything in it taken into use.
func TestExample(t *testing.T) {
	example, err := os.ReadFile("../../config.example.toml")
	must(t, err)
	shipped := load(t, folder(t, map[string]string{"config.toml": string(example)}))
	if len(shipped.Connectors) != 0 || shipped.Warnings != nil {
		t.Errorf("the example as shipped has connectors or warnings: %+v", shipped)
	}
	defaults := load(t, folder(t, map[string]string{"config.toml": "#"}))
	defaults.Files, defaults.SHA256, defaults.sources = shipped.Files, shipped.SHA256, shipped.sources
	defaults.Helpdesk = shipped.Helpdesk // nil and empty mean the same
	if !reflect.DeepEqual(shipped, defaults) {
		t.Errorf("the example's values are not the defaults:\n%+v\n%+v", shipped, defaults)
	}

	used := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(string(example), "$1")
	c := load(t, folder(t, map[string]string{"config.toml": used, "onpremises.key": "941C", "users.csv": "jan,12345.jan\n"}))
	if len(c.Connectors) != 2 || len(c.Connectors[0].Users) != 2 || len(c.Connectors[1].Users) != 1 {
		t.Errorf("got %+v", c)
	}
	l := &loader{config: &Config{}}
	settings := l.settings()
	for setting := range (&connector{}).settings() {
		settings[setting] = nil
	}
	for setting := range settings {
		if !regexp.MustCompile(`(?m)^(` + setting + ` =|\[+` + setting + `|\[+connectors\.\w+\.` + setting + `)`).MatchString(used) {
			t.Errorf("the example does not show %s", setting)
		}
	}
}

// The identity decides which token is served: only URL (in any spelling), API key and user may count.
func TestIdentity(t *testing.T) {
	base := Connector{Name: "a", BaseURL: "https://12345.rest.afas.online/ProfitRestServices", APIKey: profit.NewSecret("key")}
	change := func(f func(*Connector)) string {
		c := base
		f(&c)
		return Identity(&c, "jan")
	}
	want := Identity(&base, "jan")
	if len(want) != 64 {
		t.Fatalf("got %q", want)
	}
	for name, same := range map[string]string{
		"name, environment key": change(func(c *Connector) { c.Name = "b"; c.EnvironmentKey = profit.NewSecret("x") }),
		"spelling of the URL":   change(func(c *Connector) { c.BaseURL = "HTTPS://12345.Rest.afas.online:443/profitrestservices/" }),
	} {
		if same != want {
			t.Errorf("%s changed the identity", name)
		}
	}
	for name, other := range map[string]string{
		"URL":     change(func(c *Connector) { c.BaseURL = "https://12345.resttest.afas.online/ProfitRestServices" }),
		"API key": change(func(c *Connector) { c.APIKey = profit.NewSecret("kez") }),
		"user":    Identity(&base, "Jan"),
		"border":  Identity(&Connector{BaseURL: base.BaseURL, APIKey: profit.NewSecret("keyj")}, "an"),
	} {
		if other == want {
			t.Errorf("another %s is the same identity", name)
		}
	}
}

// A snapshot carries everything: the files may all be gone.
func TestRestore(t *testing.T) {
	dir := folder(t, map[string]string{
		"config.toml":     strings.Replace(payroll, `environment_key = "941CKEY"`, `environment_key_file = "key"`, 1) + "users_file = \"users.csv\"\n",
		"config.d/a.toml": "[device]\ndescription = \"LAPTOP\"\n[[connectors.payroll.users]]\nid = \"jan\"\n", // and a warning
		"key":             "941C",
		"users.csv":       "ria,12345.ria\n",
	})
	c := load(t, dir)
	must(t, os.RemoveAll(dir))
	restored, err := Restore(c.Snapshot())
	must(t, err)
	if !reflect.DeepEqual(restored, c) {
		t.Errorf("got  %+v\nwant %+v", restored, c)
	}
	for _, bad := range []string{"", "{}", "[]", string(c.Snapshot()[:50])} {
		if _, err := Restore([]byte(bad)); err == nil {
			t.Errorf("%q was restored", bad)
		}
	}
}

// Whatever prints a Config, the keys stay out of it.
func TestNoSecretIsPrinted(t *testing.T) {
	c := load(t, folder(t, map[string]string{"config.toml": payroll}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if out := fmt.Sprintf(verb, *c); strings.Contains(out, "8B44KEY") || strings.Contains(out, fmt.Sprintf("%x", "8B44KEY")) {
			t.Errorf("%s prints a key", verb)
		}
	}
}

// certificate is a root certificate in PEM form.
func certificate(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
