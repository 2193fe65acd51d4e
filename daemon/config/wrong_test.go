package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// complete has every part that the cases below replace.
const complete = `[device]
description = "LAPTOP"
[network]
proxy = ""
timeout = "120s"
[helpdesk]
accounts = ["ria"]
[connectors.payroll]
environment = "12345"
api_key = "8B44KEY"
environment_key = "941CKEY"
[[connectors.payroll.users]]
id = "jan"
accounts = ["jan"]
`

// Each setting wrong in each way it can be: where the complaint stands and what it says.
func TestWrong(t *testing.T) {
	for _, test := range []struct {
		old, with string // in the text above
		want      string // a line of the error, without the file
	}{
		{`"LAPTOP"`, `""`, `2:1: device.description must not be empty`},
		{`"LAPTOP"`, `5`, `2:1: device.description must be text in quotes`},
		{`"LAPTOP"`, `["LAPTOP"]`, `2:1: device.description must be text in quotes`},
		{`"LAPTOP"`, `"LAP\u001b[1mTOP"`, `2:1: device.description must not hold control characters`},
		{`"LAPTOP"`, `"LAP\u202eTOP"`, `2:1: device.description must not hold control characters`},
		{`"LAPTOP"`, `" LAPTOP"`, `2:1: device.description must not start or end with a space`},
		{`"LAPTOP"`, `"` + strings.Repeat("x", 257) + `"`, `2:1: device.description must not be longer`},
		{`description = "LAPTOP"`, `Description = "LAPTOP"`, `2:1: device.Description is unknown: it is written description`},
		{`description = "LAPTOP"`, `name = "LAPTOP"`, `2:1: device.name is unknown: here may stand description`},
		{`description = "LAPTOP"`, `"a\u001bb" = 1`, `2:1: device."a\x1bb" is unknown`},
		{`[device]`, `[Device]`, `1:1: Device is unknown: it is written device`},
		{`[device]`, `[[device]]`, `1:1: device must be a table`},
		{`[device]`, "device = 1\n[x]", `1:1: device must be a table`},
		{`[helpdesk]`, `[device]`, `6:1: device is given twice: first in line 1, column 1`},
		{`[helpdesk]`, `[keystore]`, `7:1: keystore.accounts is unknown: here may stand backend`},

		{`proxy = ""`, `proxy = "proxy:3128"`, `4:1: network.proxy must be a URL`},
		{`proxy = ""`, `proxy = "ftp://proxy"`, `4:1: network.proxy must be a URL`},
		{`proxy = ""`, `proxy = "http://us er@%zz"`, `4:1: network.proxy must be a URL`},
		{`proxy = ""`, `no_proxy = 1`, `4:1: network.no_proxy must be text`},
		{`proxy = ""`, `no_proxy = "a\nb"`, `4:1: network.no_proxy must not hold control`},
		{`proxy = ""`, `language = ""`, `4:1: network.language must not be empty`},
		{`proxy = ""`, `language = "nl\r\nX: y"`, `4:1: network.language must be as in the header`},
		{`proxy = ""`, `ca_file = "none.pem"`, `4:1: DIR/none.pem cannot be read: no such file`},
		{`proxy = ""`, `ca_file = "config.toml"`, `4:1: network.ca_file holds no certificate`},
		{`proxy = ""`, `ca_file = "config.d"`, `4:1: DIR/config.d cannot be read: it is no file but a folder`},
		{`"120s"`, `120`, `5:1: network.timeout must be text in quotes`},
		{`"120s"`, `"2 minutes"`, `5:1: network.timeout must be a duration such as`},
		{`"120s"`, `"999ms"`, `5:1: network.timeout must lie between 1s and 15m`},
		{`"120s"`, `"901s"`, `5:1: network.timeout must lie between`},
		{`"120s"`, `"-5s"`, `5:1: network.timeout must lie between`},
		{`"120s"`, `"99999999999999999h"`, `5:1: network.timeout must be a duration`},
		{`[helpdesk]`, "[otp]\nspread = \"-1s\"\n[helpdesk]", `7:1: otp.spread must lie between 0s and 168h`},
		{`[helpdesk]`, "[otp]\nretention = \"9000h\"\n[helpdesk]", `7:1: otp.retention must lie between 1m and 8760h`},
		{`[helpdesk]`, "[otp]\nretention = \"7d\"\n[helpdesk]", `7:1: otp.retention must be a duration`},
		{`[helpdesk]`, "[keystore]\nbackend = \"file\"\n[helpdesk]", `7:1: keystore.backend must be one of auto, keychain`},

		{`["ria"]`, `"ria"`, `7:1: helpdesk.accounts must be a list`},
		{`["ria"]`, `["ria", 5]`, `7:20: helpdesk.accounts[1] must be text in quotes`},
		{`["ria"]`, "[\n  \"ria\", # she\n  \"*\",\n]", `9:3: helpdesk.accounts[1] must not be everybody`},
		{`["ria"]`, `["CORP\\*"]`, `7:13: helpdesk.accounts[0] must name one account`},
		{`["ria"]`, `["gid:5"]`, `7:13: helpdesk.accounts[0] is a group`},
		{`["ria"]`, `["uid:-1"]`, `7:13: helpdesk.accounts[0] must have a number after uid:`},
		{`["ria"]`, `["uid:4294967296"]`, `7:13: helpdesk.accounts[0] must have a number after uid:`},
		{`["ria"]`, `["S-1-5-x"]`, `7:13: helpdesk.accounts[0] must be a whole SID`},
		{`accounts = ["ria"]`, `groups = ["uid:5"]`, `7:11: helpdesk.groups[0] is an account`},
		{`accounts = ["ria"]`, `groups = ["*"]`, `7:11: helpdesk.groups[0] must name one group`},

		{`[connectors.payroll]`, `[[connectors.payroll]]`, `8:1: connectors.payroll must be a table`},
		{`[connectors.payroll]`, "[connectors.\"\"]\n[connectors.payroll]", `8:1: connectors."" is no name for a connector: it must not be empty`},
		{`[connectors.payroll]`, "[connectors.\"..\"]\n[connectors.payroll]", `8:1: connectors.".." is no name for a connector`},
		{`[connectors.payroll]`, "[connectors.\"a\\nb\"]\n[connectors.payroll]", `8:1: connectors."a\nb" is no name for a connector`},
		{`[connectors.payroll]`, "[connectors.Payroll]\n[connectors.payroll]", `9:1: connectors.payroll differs from another connector in case alone: that is at DIR/config.toml:8:1`},
		{`environment = "12345"`, ``, `8:1: connectors.payroll.environment is missing`},
		{`"12345"`, `12345`, `9:1: connectors.payroll.environment must be text in quotes`},
		{`"12345"`, `"1234"`, `9:1: connectors.payroll.environment must have five digits`},
		{`"12345"`, `"12a45"`, `9:1: connectors.payroll.environment must have five digits`},
		{`environment = "12345"`, "environment = \"12345\"\ntype = \"demo\"", `10:1: connectors.payroll.type must be one of production`},
		{`environment = "12345"`, "environment = \"12345\"\nurl = \"https://p.example.com/P\"", `9:1: connectors.payroll.environment must not stand beside url`},
		{`environment = "12345"`, "type = \"test\"\nurl = \"https://p.example.com/P\"", `9:1: connectors.payroll.type must not stand beside url`},
		{`environment = "12345"`, "environment = \"12345\"\nsoap_url = \"https://p.example.com/P\"", `10:1: connectors.payroll.soap_url goes with url alone`},
		{`environment = "12345"`, `url = "http://p.example.com/P"`, `9:1: connectors.payroll.url is not in order: a URL of Profit starts with https`},
		{`environment = "12345"`, `url = "https://u:p@p.example.com/P"`, `9:1: connectors.payroll.url is not in order`},
		{`environment = "12345"`, `url = ""`, `9:1: connectors.payroll.url is not in order`},
		{`environment = "12345"`, "url = \"https://p.example.com/P\"\notp_api = \"soap\"", `10:1: connectors.payroll.otp_api is soap: then url needs soap_url`},
		{`environment = "12345"`, "environment = \"12345\"\notp_api = \"graphql\"", `10:1: connectors.payroll.otp_api must be one of rest, soap`},
		{`environment = "12345"`, "environment = \"12345\"\nenrol = true", `10:1: connectors.payroll.enrol must be text`},
		{`environment = "12345"`, "environment = \"12345\"\nenrol = \"never\"", `10:1: connectors.payroll.enrol must be one of at_once, on_request`},
		{`environment = "12345"`, "environment = \"12345\"\nintegration_id = \"a b\"", `10:1: connectors.payroll.integration_id must be one word`},
		{`environment = "12345"`, "environment = \"12345\"\nusers_file = \"\"", `10:1: connectors.payroll.users_file must not be empty`},
		{`environment = "12345"`, "environment = \"12345\"\nusers_file = \"u.csv\"", `10:1: DIR/u.csv cannot be read: no such file`},
		{`api_key = "8B44KEY"`, ``, `8:1: connectors.payroll.api_key is missing`},
		{`"8B44KEY"`, `""`, `10:1: connectors.payroll.api_key must not be empty`},
		{`"8B44KEY"`, `"8B44 KEY"`, `10:1: connectors.payroll.api_key must be one word`},
		{`"8B44KEY"`, `8`, `10:1: connectors.payroll.api_key must be text in quotes`},
		{`environment_key = "941CKEY"`, ``, `8:1: connectors.payroll.environment_key is missing`},
		{`"941CKEY"`, "\"941CKEY\"\nenvironment_key_file = \"config.toml\"", `12:1: connectors.payroll.environment_key_file must not stand beside environment_key`},
		{`environment_key = "941CKEY"`, `environment_key_file = "config.toml"`, `11:1: connectors.payroll.environment_key_file names a file that holds no key`},
		{`environment_key = "941CKEY"`, `environment_key_file = "empty"`, `11:1: DIR/empty is empty`},

		{`[[connectors.payroll.users]]`, `[connectors.payroll.users]`, `12:1: connectors.payroll.users must be a list`},
		{`[[connectors.payroll.users]]`, "users = [5]\n[x]", `12:10: connectors.payroll.users[0] must be a table`},
		{`id = "jan"`, ``, `12:1: connectors.payroll.users[0] has no id`},
		{`id = "jan"`, `id = 5`, `13:1: connectors.payroll.users[0].id must be text`},
		{`id = "jan"`, `id = ""`, `13:1: connectors.payroll.users[0].id must not be empty`},
		{`id = "jan"`, `id = "jan\u0000"`, `13:1: connectors.payroll.users[0].id must not hold control`},
		{`id = "jan"`, `id = "jan.{naam}"`, `12:1: connectors.payroll.users has an id with a placeholder that is none of`},
		{`id = "jan"`, `id = "jan.{name"`, `12:1: connectors.payroll.users has an id with a placeholder that is none of`},
		{`id = "jan"`, `id = "jan.{name}"`, `12:1: connectors.payroll.users has a placeholder in its id, but no domain`},
		{`["jan"]`, `["CORP\\*"]`, `12:1: connectors.payroll.users gives one id to a whole domain`},
		{`["jan"]`, `["*"]`, `14:13: connectors.payroll.users[0].accounts[0] must not be everybody`},
		{`["jan"]`, `["*\\jan"]`, `14:13: connectors.payroll.users[0].accounts[0] must be a domain's all`},
		{`["jan"]`, `["CORP\\j*"]`, `14:13: connectors.payroll.users[0].accounts[0] must be a domain's all`},
		{`["jan"]`, `["*@"]`, `14:13: connectors.payroll.users[0].accounts[0] must be a domain's all`},
		{`["jan"]`, `[""]`, `14:13: connectors.payroll.users[0].accounts[0] must not be empty`},
		{`accounts = ["jan"]`, "[[connectors.payroll.users]]\nid = \"jan\"", `14:1: connectors.payroll.users has an id that stands at DIR/config.toml:12:1 already`},
		{`accounts = ["jan"]`, "Accounts = [\"jan\"]", `14:1: connectors.payroll.users[0].Accounts is unknown: it is written accounts`},
		{`accounts = ["jan"]`, "[connectors.other]\nurl = \"https://12345.rest.AFAS.online/profitrestservices/\"\napi_key = \"8B44KEY\"\n" +
			"environment_key = \"x\"\nusers = [{id = \"jan\"}]", `18:10: connectors.other.users has an id that stands at DIR/config.toml:12:1 already`},

		// What the parser says, at the right place.
		{`"LAPTOP"`, `"LAPTOP`, `2:22: strings cannot contain newlines`},
		{`"LAPTOP"`, ``, `2:15: expected value but found '\n' instead`},
		{`"LAPTOP"`, `"LAPTOP" x`, `2:23: expected a top-level item to end with a newline`},
		{`description = "LAPTOP"`, "description = \"a\"\ndescription = \"b\"", `3:1: device.description is given twice: first in line 2, column 1`},
		{`["jan"]`, "[\"jan\"]\naccounts = []", `15:1: connectors.payroll.users[0].accounts is given twice: first in line 14, column 1`},
		{`[device]`, "\xff[device]", `1:1: invalid UTF-8`},
	} {
		t.Run(test.want, func(t *testing.T) {
			if !strings.Contains(complete, test.old) {
				t.Fatalf("there is no %q", test.old)
			}
			dir := folder(t, map[string]string{
				"config.toml": strings.Replace(complete, test.old, test.with, 1), "config.d/none": "", "empty": " \n",
			})
			_, err := Load(filepath.Join(dir, "config.toml"), Options{})
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			want := filepath.Join(dir, "config.toml") + ":" + inFolder(test.want, dir)
			if !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			for _, secret := range []string{"8B44", "941C"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes a key: %v", err)
				}
			}
		})
	}
}

// inFolder makes a message about files in DIR what it is on this system.
func inFolder(message, dir string) string {
	message = regexp.MustCompile(`DIR/[a-z./]*`).ReplaceAllStringFunc(message, filepath.FromSlash)
	return strings.NewReplacer("DIR", dir, "no such file", syscall.ENOENT.Error()).Replace(message)
}

// All errors of all files at once, and none that only follows from another.
func TestAllAtOnce(t *testing.T) {
	dir := folder(t, map[string]string{
		"config.toml":     payroll + "enrol = \"often\"\nusers_file = \"users.csv\"\n[device]\nname = 1\n",
		"config.d/a.toml": "[connectors.payroll]\ndescription = \"x\"\napi_key = \"other\"\n[device\n",
		"config.d/b.toml": "[connectors.other]\nenvironment = \"1\"\n[connectors.payroll]\napi_key = \"third\"\n",
		"config.d/c.toml": "",
		"users.csv":       "account,id\njan\n*,12345.jan\nria,{name}\ngid:4,x\nkim,12345.kim\n",
	})
	_, err := Load(filepath.Join(dir, "config.toml"), Options{})
	want := inFolder(`DIR/config.toml:5:1: connectors.payroll.enrol must be one of at_once, on_request
DIR/config.toml:8:1: device.name is unknown: here may stand description
DIR/config.d/a.toml:4:8: expected '.' or ']' to end table name, but got '\n' instead
DIR/config.d/b.toml:2:1: connectors.other.environment must have five digits, such as "12345"
DIR/config.d/b.toml:4:1: connectors.payroll.api_key is given twice: first at DIR/config.toml:3:1
DIR/config.d/c.toml: is empty: write it again, or take it away if it is not wanted
DIR/users.csv:2:1: this line is not account,id: two fields with a comma between them
DIR/users.csv:3:1: the account must not be everybody: name the domain, such as "CORP\\*"
DIR/users.csv:4:1: the id has a placeholder: those go under users
DIR/users.csv:5:1: the account is a group: it belongs under groups`, dir)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// What a parser's message quotes may be half a key.
func TestParserQuotesNoSecret(t *testing.T) {
	for _, value := range []string{
		`ABCDEFKEY`, `ABCDEF12345`, `12345678901234567890123`, `0xABCDEFG`, `1_2__3456`, `00123456`, `2026-13-45T00:00:00Z`,
		`"ABCDEF\qKEY"`, `-ABCDEF`, `+0x123456`, `1.2.3456`, `1e99999`, `{ a = ABCDEFKEY }`, `"ABCDEFKEY" "ABCDEFKEY"`, `infABCDEF`,
	} {
		for _, text := range []string{"[connectors.x]\napi_key = " + value, "connectors = { x = { api_key = " + value + " } }"} {
			_, err := Parse("config.toml", []byte(text))
			if err == nil || strings.Contains(err.Error(), "ABC") || strings.Contains(err.Error(), "345") || strings.Contains(err.Error(), "9999") {
				t.Errorf("%s: %v", value, err)
			}
		}
	}
}

// What overflows the stack of a parser, or takes gigabytes, is refused within the blink of an eye.
func TestHostileText(t *testing.T) {
	const MB = 1 << 20
	for name, text := range map[string]string{
		"brackets":           strings.Repeat("[", MB),
		"nested arrays":      "a = " + strings.Repeat("[", MB-4),
		"nested tables":      "a = " + strings.Repeat("{a=", MB/4),
		"nested and closed":  "a = " + strings.Repeat("[", MB/4) + strings.Repeat("]", MB/4),
		"behind a string":    "a = '''\n'' ]]]'''\nb = [\"\\\"]\", " + strings.Repeat("[", MB/2),
		"behind an error":    "a = \"\\\nb = " + strings.Repeat("[", MB/2),
		"dotted key, 16 KB":  strings.Repeat("a.", 8<<10) + "a = 1",
		"dotted header":      "[" + strings.Repeat("a.", 8<<10) + "a]",
		"long key":           strings.Repeat("a", MB-4) + "=1",
		"many tables":        strings.Repeat("[[connectors.a.b.c.d.e.f]]\n", MB/27),
		"many unknown keys":  unknownKeys(MB),
		"long header":        "[" + strings.Repeat("h", 250) + "]\n" + unknownKeys(MB/2),
		"larger than 1 MiB":  strings.Repeat("#", MB+1),
		"nothing":            "",
		"white space":        " \r\n\t\n",
		"a BOM":              bom,
		"UTF-16":             "\xff\xfe[\x00d\x00",
		"zeros":              strings.Repeat("\x00", 4096),
		"unfinished string":  `a = """` + strings.Repeat("x", MB/2),
		"many quotes":        "a = " + strings.Repeat(`"`, MB/2),
		"a million newlines": strings.Repeat("\n", MB-1) + "=",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			dir := folder(t, map[string]string{"config.toml": text})
			_, err := Load(filepath.Join(dir, "config.toml"), Options{})
			if err == nil {
				t.Fatal("it was taken")
			}
			if len(err.Error()) > 40_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			// Half a second of work; what explodes takes hours, and a busy machine its time.
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v: %.200s", time.Since(start), err)
		})
	}
}

func unknownKeys(size int) string {
	var text strings.Builder
	for i := 0; text.Len() < size-20; i++ {
		fmt.Fprintf(&text, "k%d=1\n", i)
	}
	return text.String()
}

// Half a file is an error or a valid file, never a panic; and if it is an error, it says where.
func TestEveryPrefix(t *testing.T) {
	for i := range len(complete) {
		if _, err := Parse("config.toml", []byte(complete[:i])); err != nil && !strings.HasPrefix(err.Error(), "config.toml: is empty") &&
			!strings.HasPrefix(err.Error(), "config.toml:") {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

// A line that nobody may use is allowed, and said.
func TestWarnings(t *testing.T) {
	c, err := Parse("config.toml", []byte(payroll+"[[connectors.payroll.users]]\nid = \"jan\"\n[connectors.x]\nenvironment = \"12345\"\napi_key = \"x\"\nenvironment_key = \"x\"\n"))
	must(t, err)
	want := []string{
		"config.toml:5:1: connectors.payroll.users has a line that nobody may use: it names neither accounts nor groups",
		"config.toml:7:1: connectors.x has no users: nobody may use it",
	}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("got %q", c.Warnings)
	}
}

// An account may have several users of one connector, and a template may stand for a group.
func TestAllowed(t *testing.T) {
	for _, users := range []string{
		"[[connectors.payroll.users]]\nid = \"a\"\naccounts = [\"jan\"]\n[[connectors.payroll.users]]\nid = \"b\"\naccounts = [\"jan\"]\n",
		"users = [{id = \"12345.{name}\", groups = [\"payroll\"]}]\n",
		"users = [{id = \"{upn}\", accounts = [\"*@corp.example\", \"S-1-5-21-1-2-3-500\"]}]\n",
	} {
		c, err := Parse("config.toml", []byte(payroll+users))
		if err != nil || c.Warnings != nil {
			t.Errorf("%s: %v %v", users, c, err)
		}
	}
}

// As an administrator does before putting a file where it counts: it stands in for config.toml of the installed folder.
func TestCheckElsewhere(t *testing.T) {
	installed := folder(t, map[string]string{"config.toml": "broken", "users.csv": "jan,12345.jan\n", "config.d/a.toml": "[device]\ndescription = \"X\"\n"})
	tried := folder(t, map[string]string{"try.toml": payroll + "users_file = \"users.csv\"\n"})
	must(t, os.Chmod(filepath.Join(tried, "try.toml"), 0o666))
	c, err := Load(filepath.Join(tried, "try.toml"), Options{Dir: installed, SkipRights: true})
	must(t, err)
	if len(c.Connectors[0].Users) != 1 || c.Device.Description != "X" {
		t.Errorf("got %+v", c)
	}
}
