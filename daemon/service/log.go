package service

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// LevelNotice is for what an administrator wants to know although nothing is wrong. The Event Log of Windows gets
// records of this level and above.
const LevelNotice = slog.LevelInfo + 2

// Logger returns a logger that writes to where this system looks for what a service has to say. The attributes
// connector, user and state become the fields CONNECTOR, USER_ID and STATE of the journal.
func Logger(level slog.Leveler) *slog.Logger {
	if h := systemHandler(level); h != nil {
		return slog.New(h)
	}
	return slog.New(streamHandler(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), level))
}

// streamHandler writes text for people, JSON for programs.
func streamHandler(w io.Writer, people bool, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevel}
	if people {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(escaper{w}, options)
}

// nameLevel gives LevelNotice its name.
func nameLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == LevelNotice {
		a.Value = slog.StringValue("NOTICE")
	}
	return a
}

// escaper writes JSON on: what a terminal might obey, it writes as JSON's escapes. slog does so below U+0020 only,
// and U+009B, for one, begins a terminal's orders too.
type escaper struct{ io.Writer }

func (e escaper) Write(line []byte) (int, error) {
	var out []byte
	for rest := line; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || unicode.IsPrint(r) && r != utf8.RuneError:
			out = append(out, rest[:size]...)
		default:
			// Outside of strings JSON has nothing of this sort, so an escape is right wherever it stands.
			out = append(out, jsonEscape(r)...)
		}
		rest = rest[size:]
	}
	if _, err := e.Writer.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

func jsonEscape(r rune) string {
	if r < 0x10000 {
		return `\u` + hex4(r)
	}
	r -= 0x10000
	return `\u` + hex4(0xd800+r>>10) + `\u` + hex4(0xdc00+r&0x3ff)
}

func hex4(r rune) string {
	s := strconv.FormatInt(int64(r), 16)
	return "0000"[len(s):] + s
}

// printable returns text as it is if it is one line of what can be printed, else quoted.
func printable(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(text)
		}
	}
	return text
}

// fieldNames are the attributes that also become fields of a journal.
var fieldNames = map[string]string{"connector": "CONNECTOR", "user": "USER_ID", "state": "STATE"}

// lineHandler hands each record to a log that has its own time and level: one line of text, and fields.
type lineHandler struct {
	level  slog.Leveler
	write  func(level slog.Level, line string, fields map[string]string) error
	attrs  func(io.Writer) slog.Handler // writes the attributes alone
	fields map[string]string            // of WithAttrs
	group  bool                         // within a group an attribute's name means something else
}

func newLineHandler(level slog.Leveler, write func(slog.Level, string, map[string]string) error) *lineHandler {
	return &lineHandler{level: level, write: write, attrs: func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: dropBuiltin})
	}}
}

// dropBuiltin leaves out what slog adds itself.
func dropBuiltin(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Enabled implements slog.Handler.
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	var rest bytes.Buffer
	if err := h.attrs(&rest).Handle(ctx, r); err != nil {
		return err
	}
	line := printable(r.Message)
	if s := strings.TrimSuffix(rest.String(), "\n"); s != "" {
		line += " " + s
	}
	fields := h.fields
	if !h.group {
		fields = withFields(h.fields, func(yield func(slog.Attr) bool) { r.Attrs(yield) })
	}
	return h.write(r.Level, line, fields)
}

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = func(w io.Writer) slog.Handler { return h.attrs(w).WithAttrs(attrs) }
	if !h.group {
		c.fields = withFields(h.fields, func(yield func(slog.Attr) bool) {
			for _, a := range attrs {
				yield(a)
			}
		})
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.attrs = func(w io.Writer) slog.Handler { return h.attrs(w).WithGroup(name) }
	c.group = true
	return &c
}

// withFields returns fields and those that attrs adds to them.
func withFields(fields map[string]string, attrs func(yield func(slog.Attr) bool)) map[string]string {
	all := map[string]string{}
	for k, v := range fields {
		all[k] = v
	}
	attrs(func(a slog.Attr) bool {
		if field := fieldNames[a.Key]; field != "" {
			all[field] = a.Value.Resolve().String()
		}
		return true
	})
	return all
}
