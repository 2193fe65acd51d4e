package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// readUsers takes the lines account,id of a users_file. Lines with the same id make one user with several accounts;
// an account may have several. All are on request: a file such as this is for fleets.
func (c *connector) readUsers(data []byte) {
	reader := csv.NewReader(bytes.NewReader(data))
	reader.Comment = '#'
	reader.FieldsPerRecord = 2
	reader.TrimLeadingSpace = true
	reader.ReuseRecord = true
	users := map[string]int{} // id → its place among c.Users
	for first := true; ; first = false {
		fields, err := reader.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			c.badLine(err)
			if !errors.Is(err, csv.ErrFieldCount) {
				return // where the next line starts is anybody's guess
			}
			continue
		}
		account, id := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1])
		if first && strings.EqualFold(account, "account") && strings.EqualFold(id, "id") {
			continue
		}
		line, _ := reader.FieldPos(0)
		at := Pos{c.usersFile, line, 1}
		if !c.goodLine(at, account, id) {
			continue
		}
		i, found := users[id]
		if !found {
			i = len(c.Users)
			users[id] = i
			c.Users = append(c.Users, User{ID: id, OnRequest: true, Pos: at})
		}
		c.Users[i].Accounts = append(c.Users[i].Accounts, account)
	}
}

func (c *connector) badLine(err error) {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		c.l.problem(Pos{c.usersFile, bad.Line, bad.Column}, "this line is not account,id: two fields with a comma between them")
	}
}

// goodLine checks both fields as the tables of users are checked.
func (c *connector) goodLine(at Pos, name, id string) bool {
	before := len(c.l.problems)
	for _, rule := range []rule{filled, printable, account} {
		if err := rule(name); err != nil {
			c.l.problem(at, "the account %s", err)
			break
		}
	}
	for _, rule := range []rule{filled, printable} {
		if err := rule(id); err != nil {
			c.l.problem(at, "the id %s", err)
			break
		}
	}
	if strings.ContainsAny(id, "{}") {
		c.l.problem(at, "the id has a placeholder: those go under users")
	}
	if !utf8.ValidString(name + id) {
		c.l.problem(at, "this line is not UTF-8: save the file as UTF-8")
	}
	return len(c.l.problems) == before
}
