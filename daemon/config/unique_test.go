package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	oneKey     = "environment = \"12345\"\napi_key = \"AAAA1111\"\nenvironment_key = \"BBBB2222\"\n"
	anotherKey = "environment = \"12345\"\napi_key = \"CCCC3333\"\nenvironment_key = \"BBBB2222\"\n"
)

// Two entries that would share one token are refused, in every way in which that can come about.
func TestUnique(t *testing.T) {
	line := func(connector, id string) string {
		return fmt.Sprintf("[[connectors.%s.users]]\nid = %q\naccounts = [\"jan\"]\n", connector, id)
	}
	template := func(connector, id string) string {
		return fmt.Sprintf("[[connectors.%s.users]]\nid = %q\naccounts = [\"CORP\\\\*\"]\n", connector, id)
	}
	for name, test := range map[string]struct {
		payroll, stock, keys string
		refused              bool
	}{
		"a line and a template":          {line("payroll", "12345.jan"), template("stock", "12345.{name}"), oneKey, true},
		"a template and a line":          {template("payroll", "12345.{name}"), line("stock", "12345.jan"), oneKey, true},
		"two templates":                  {template("payroll", "12345.{upn}"), template("stock", "12345.{name}"), oneKey, true},
		"templates that end alike":       {template("payroll", "{name}.x"), template("stock", "12345.{name}"), oneKey, true},
		"templates that begin otherwise": {template("payroll", "1.{name}"), template("stock", "2.{name}"), oneKey, false},
		"templates that end otherwise":   {template("payroll", "{name}.x"), template("stock", "{name}.y"), oneKey, false},
		"a line that it cannot make":     {line("payroll", "99999.jan"), template("stock", "12345.{name}"), oneKey, false},
		"another API key":                {line("payroll", "12345.jan"), template("stock", "12345.{name}"), anotherKey, false},
		"within one connector":           {line("payroll", "12345.jan") + template("payroll", "12345.{name}"), line("stock", "1.piet"), oneKey, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("config.toml", []byte("[connectors.payroll]\n"+oneKey+test.payroll+"[connectors.stock]\n"+test.keys+test.stock))
			var problems Problems
			if errors.As(err, &problems); (len(problems) == 1) != test.refused || len(problems) > 1 {
				t.Fatalf("%d problems: %v", len(problems), err)
			}
			for _, problem := range problems {
				if problem.Line == 0 || !strings.Contains(problem.Message, "config.toml:") || strings.Contains(problem.Message, "AAAA") {
					t.Errorf("problem: %s", problem)
				}
			}
		})
	}
}

// The same name in two domains is two people, who hardly mean to be one Profit user.
func TestSeveralDomains(t *testing.T) {
	for id, warned := range map[string]bool{"12345.{name}": true, "12345.{name}.{domain}": false, "{upn}": false} {
		c, err := Parse("config.toml", []byte("[connectors.payroll]\n"+oneKey+"[[connectors.payroll.users]]\nid = \""+id+"\"\naccounts = [\"CORP\\\\*\", \"OTHER\\\\*\"]\n"))
		if err != nil || (len(c.Warnings) == 1) != warned {
			t.Errorf("%s: %v, %v", id, c.Warnings, err)
		}
	}
}
