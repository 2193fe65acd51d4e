package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// This file is the user interface, and these are its rules:
//
//   - Standard output carries the answer and nothing else. Writing it is part of the job: a full disk or a reader that
//     has gone is a failure.
//   - Questions, progress and errors go to standard error; questions are asked, and progress is shown, only when a
//     terminal is there.
//   - Colours only on a terminal, never with NO_COLOR or TERM=dumb (no-color.org). A colour never carries a meaning
//     that the words do not.
//   - Everything printed is cleaned of what could steer a terminal, wherever it comes from; in JSON it is escaped.
//   - Times are this device's local ones.

// ui is how profitctl meets whoever called it.
type ui struct {
	in  *os.File
	out *bufio.Writer // standard output; flush says whether it arrived
	err io.Writer

	asks      bool // standard input and standard error are a terminal: a person can be asked
	shows     bool // standard error is a terminal: a person can be told while they wait
	outIsTerm bool
	colours   bool
	asJSON    bool // of --json
}

func newUI() *ui {
	u := &ui{in: os.Stdin, out: bufio.NewWriter(os.Stdout), err: os.Stderr}
	u.outIsTerm = isTerminal(os.Stdout)
	u.shows = isTerminal(os.Stderr)
	u.asks = u.shows && isTerminal(os.Stdin)
	u.colours = u.outIsTerm && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return u
}

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// flush says whether everything printed so far has arrived.
func (u *ui) flush() error {
	if err := u.out.Flush(); err != nil {
		return &failure{exitFailure, "cannot write the answer: " + err.Error(),
			[]string{"Is the disk full, or has the reader gone?"}}
	}
	return nil
}

// printf prints to standard output. The format is ours and knows only %s; what fills it is cleaned.
func (u *ui) printf(format string, args ...any) { fmt.Fprintf(u.out, format, cleanAll(args)...) }

// warnf prints to standard error.
func (u *ui) warnf(format string, args ...any) { fmt.Fprintf(u.err, format, cleanAll(args)...) }

func cleanAll(args []any) []any {
	cleaned := make([]any, len(args))
	for i, arg := range args {
		cleaned[i] = clean(fmt.Sprint(arg))
	}
	return cleaned
}

// clean drops control characters (C0 and C1, so no escape sequence remains one), direction overrides and whatever
// else does not show, and makes every white space a space: text cannot pretend to be another line.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, text)
}

// json prints a value as the API would send it.
func (u *ui) json(value any) { u.out.Write(toJSON(value, u.outIsTerm)) }

// toJSON returns a line of JSON, or an indented text. What clean would change is escaped: it means the same.
func toJSON(value any, indent bool) []byte {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if indent {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(value); err != nil {
		panic(err) // the types of the API can be encoded
	}
	escaped := make([]byte, 0, plain.Len())
	for _, r := range plain.String() {
		if r < 0x7f || unicode.IsPrint(r) {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
	}
	return escaped
}

// ask shows a question and returns the line that is entered, without white space around it; empty also when there
// is none. Without a person the line comes from standard input all the same.
func (u *ui) ask(question string) string {
	if u.asks {
		u.warnf("%s ", question)
	}
	line, err := bufio.NewReader(io.LimitReader(u.in, 1<<16)).ReadString('\n')
	if err != nil && u.asks { // Ctrl-D
		u.warnf("\n")
	}
	return strings.TrimSpace(line)
}

// colour is the parameter of an SGR escape sequence (ECMA-48).
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	faint  colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// cell is a cell of a table.
type cell struct {
	text   string
	colour colour
}

// table prints rows of aligned columns; the last column is not filled up.
func (u *ui) table(rows [][]cell) {
	var widths []int
	for _, row := range rows {
		for column := range row {
			row[column].text = clean(row[column].text)
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], utf8.RuneCountInString(row[column].text))
		}
	}
	for _, row := range rows {
		if row == nil {
			continue
		}
		line := ""
		for column, c := range row {
			line += u.paint(c)
			if column < len(row)-1 {
				line += strings.Repeat(" ", widths[column]-utf8.RuneCountInString(c.text)+2)
			}
		}
		fmt.Fprintln(u.out, strings.TrimRight(line, " "))
	}
}

func (u *ui) paint(c cell) string {
	if !u.colours || c.colour == plain || c.text == "" {
		return c.text
	}
	return "\x1b[" + string(c.colour) + "m" + c.text + "\x1b[0m"
}

// fact is a line of a table of two columns: what it is about, and what is so. Where there is nothing to tell it is
// nil, which table leaves out.
func fact(name, text string) []cell {
	if text == "" {
		return nil
	}
	return []cell{{name, faint}, {text, plain}}
}

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// quote makes a name safe to be pasted into a shell.
func quote(name string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-+@%:,/", r)
	}
	if name != "" && !strings.ContainsFunc(name, special) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
