package service

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"unicode"
)

// nasty is what somebody might get into a log: a line of their own, orders to a terminal in each way of writing them,
// text that reads backwards, and what is no text at all.
const nasty = "12345.jan\nlevel=ERROR msg=\"all is lost\"\r\x1b[2J\u009b2J\u202e\x00\xff\U000e0001"

func say(l *slog.Logger) {
	l.Warn("cannot "+nasty, "user", nasty, "error", errors.New(nasty), "any", struct{ V string }{nasty}, nasty, 1)
	l.With("connector", nasty).WithGroup(nasty).Warn("cannot", "user", nasty)
}

// One record is one line of what can be printed, whatever is in it.
func checkLines(t *testing.T, out string, lines int) {
	t.Helper()
	if got := strings.Count(out, "\n"); got != lines || !strings.HasSuffix(out, "\n") {
		t.Errorf("%d lines, want %d: %q", got, lines, out)
	}
	for _, r := range strings.ReplaceAll(out, "\n", "") {
		if !unicode.IsPrint(r) {
			t.Errorf("%U came through: %q", r, out)
		}
	}
}

func TestTextCannotBeForged(t *testing.T) {
	var out strings.Builder
	say(slog.New(streamHandler(&out, true, slog.LevelInfo)))
	checkLines(t, out.String(), 2)
}

func TestJSONCannotBeForged(t *testing.T) {
	var out strings.Builder
	say(slog.New(streamHandler(&out, false, slog.LevelInfo)))
	checkLines(t, out.String(), 2)

	// And what it says is still what was said.
	var record map[string]any
	if err := json.Unmarshal([]byte(strings.SplitAfter(out.String(), "\n")[0]), &record); err != nil {
		t.Fatal(err)
	}
	if got, want := record["user"], strings.ToValidUTF8(nasty, "\ufffd"); got != want {
		t.Errorf("user = %q, want %q", got, want)
	}
}

// lines collects what a journal or an Event Log would get.
type lines struct {
	text   strings.Builder
	fields []map[string]string
}

func (l *lines) write(_ slog.Level, line string, fields map[string]string) error {
	l.text.WriteString(line + "\n")
	l.fields = append(l.fields, fields)
	return nil
}

func TestLineCannotBeForged(t *testing.T) {
	var out lines
	say(slog.New(newLineHandler(slog.LevelInfo, out.write)))
	checkLines(t, out.text.String(), 2)
}

// Fields make `journalctl CONNECTOR=payroll` work; the line stays what a person reads.
func TestFields(t *testing.T) {
	var out lines
	l := slog.New(newLineHandler(slog.LevelInfo, out.write))
	type state string
	l.Info("entry is now active", "connector", "payroll", "user", "12345.jan", "state", state("active"), "reason", "new")
	l.With("connector", "payroll").Info("two", "error", errors.New("cannot: because"))
	l.WithGroup("peer").Info("three", "user", "jan")
	l.Info("four")
	l.Debug("not this one")

	want := "entry is now active connector=payroll user=12345.jan state=active reason=new\n" +
		"two connector=payroll error=\"cannot: because\"\n" +
		"three peer.user=jan\n" +
		"four\n"
	if got := out.text.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for i, want := range []map[string]string{
		{"CONNECTOR": "payroll", "USER_ID": "12345.jan", "STATE": "active"},
		{"CONNECTOR": "payroll"},
		{},
		{},
	} {
		if got := out.fields[i]; !maps.Equal(got, want) {
			t.Errorf("record %d: fields %v, want %v", i, got, want)
		}
	}
}

// What is secret prints itself as something else, and must on this way too.
func TestFieldsAreResolved(t *testing.T) {
	var out lines
	slog.New(newLineHandler(slog.LevelInfo, out.write)).Info("one", "user", secret("hunter2"))
	if got := out.fields[0]["USER_ID"] + out.text.String(); strings.Contains(got, "hunter2") {
		t.Errorf("logged %q", got)
	}
}

type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

func TestNotice(t *testing.T) {
	var out strings.Builder
	l := slog.New(streamHandler(&out, true, slog.LevelInfo))
	l.Log(t.Context(), LevelNotice, "the service has started")
	if !strings.Contains(out.String(), "level=NOTICE") {
		t.Errorf("logged %s", &out)
	}
}
