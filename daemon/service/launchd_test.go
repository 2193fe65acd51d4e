package service

import (
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"
)

// readPlist reads the values of a property list's outermost dict: strings and numbers as text, true and false as
// such, arrays joined by blanks, dicts with their keys.
func readPlist(t *testing.T, text string) map[string]string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	values, key, path := map[string]string{}, "", []string{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the plist is no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if name := token.Name.Local; name == "true" || name == "false" {
				values[key] = strings.TrimSpace(values[key] + " " + name)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			s := strings.TrimSpace(string(token))
			switch {
			case s == "":
			case path[len(path)-1] == "key" && len(path) == 3:
				key = s
			default:
				values[key] = strings.TrimSpace(values[key] + " " + s)
			}
		}
	}
	return values
}

func TestPlist(t *testing.T) {
	got := readPlist(t, plist)
	for key, want := range map[string]string{
		"Label":              "profitd",
		"ProgramArguments":   "/usr/local/bin/profitd run",
		"RunAtLoad":          "true",
		"KeepAlive":          "SuccessfulExit false", // started again after a failure, not after a stop
		"ExitTimeOut":        "40",                   // more than the service gives itself
		"HardResourceLimits": "Core 0",               // no tokens in core dumps
		"Umask":              "63",                   // launchd wants it decimal: 0o077
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
}

// kardianos/service renders the template only on a Mac, and leaves an empty file behind when it cannot. So this holds
// the names in it against those that its version 1.3.0 knows.
func TestPlistTemplate(t *testing.T) {
	text, err := plistTemplate()
	if err != nil {
		t.Fatal(err)
	}
	checkActions(t, text, "Name | html", "Path | html", "range Arguments", ". | html", "end")
	rendered := regexp.MustCompile(`{{[^}]*}}`).ReplaceAllString(text, "")
	if got := readPlist(t, rendered)["KeepAlive"]; got != "SuccessfulExit false" {
		t.Errorf("KeepAlive = %q", got)
	}
}

// checkActions holds the actions of a template against those that must and may be in it.
func checkActions(t *testing.T, text string, want ...string) {
	t.Helper()
	var got []string
	for _, match := range regexp.MustCompile(`{{([^}]*)}}`).FindAllStringSubmatch(text, -1) {
		got = append(got, match[1])
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("the template has %q, want %q", got, want)
	}
}
