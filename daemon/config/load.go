package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"
)

const (
	bom         = "\ufeff" // Windows' editors write it
	maxProblems = 100      // more help nobody
)

// Load reads config.toml at path, config.d/*.toml beside it and what they point to. The error is Problems, all of
// them, and then there is no Config.
func Load(path string, opts Options) (*Config, error) {
	return loadFrom(newDisk(opts), path, opts)
}

func loadFrom(from source, path string, opts Options) (*Config, error) {
	host, _ := os.Hostname() // without one, the description is required
	return assemble(from, path, cmp.Or(opts.Dir, filepath.Dir(path)), host)
}

func assemble(from source, path, dir, host string) (*Config, error) {
	l := &loader{
		from: from, kept: &snapshot{Path: path, Dir: dir, Host: host}, config: defaults(host),
		given: map[string]Pos{}, connectors: map[string]*connector{},
	}
	l.file(path, dir, false)
	parts := filepath.Join(dir, "config.d")
	names, err := from.list(parts)
	if err != nil {
		l.refuse(Pos{File: parts}, err)
	}
	for _, name := range names {
		l.file(name, parts, true)
	}
	l.finish()
	if len(l.problems) > 0 {
		return nil, l.sorted()
	}
	return l.config, nil
}

func defaults(host string) *Config {
	c := &Config{}
	c.Device.Description = host
	c.Network.Language = "nl"
	c.Network.Timeout = 120 * time.Second
	c.Keystore.Backend = "auto"
	c.OTP.Retention = 168 * time.Hour
	return c
}

// loader makes one Config. It goes on after a problem, to find them all.
type loader struct {
	from       source
	kept       *snapshot // everything that was read
	config     *Config
	given      map[string]Pos // where each setting that stands alone was given
	connectors map[string]*connector
	order      []*connector
	problems   Problems
	partial    bool // a file could not be taken: what seems to be missing may stand there
}

// text is one TOML file on its way into the Config.
type text struct {
	*layout
	name string
	dir  string // where its relative paths start
}

// read gives a file's content and keeps it for the snapshot.
func (l *loader) read(name string, private, part bool) ([]byte, error) {
	data, err := l.from.read(name, private)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(l.kept.Files, func(f file) bool { return f.Name == name }) {
		l.kept.Files = append(l.kept.Files, file{name, data, part})
	}
	data = bytes.TrimPrefix(data, []byte(bom))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &fileError{name, "is empty: write it again, or take it away if it is not wanted", nil}
	}
	return data, nil
}

// file takes one TOML file into the Config.
func (l *loader) file(name, dir string, part bool) {
	data, err := l.read(name, true, part)
	if err != nil {
		l.refuse(Pos{File: name}, err)
		return
	}
	t := &text{scan(string(data)), name, dir}
	tree, ok := l.parse(t)
	if !ok {
		l.partial = true
		return
	}
	value{l: l, text: t, data: tree}.table(l.settings())
}

// parse lets the parser see a text that cannot hurt it.
func (l *loader) parse(t *text) (tree map[string]any, ok bool) {
	for _, d := range t.twice {
		line, column := t.position(d.first)
		l.problemAt(t, d.second, "%s is given twice: first in line %d, column %d", dotted(d.path), line, column)
	}
	if t.refused != "" {
		l.problemAt(t, t.stoppedAt, "%s", t.refused)
	}
	if t.refused != "" || t.twice != nil {
		return nil, false
	}
	// Where the scan has lost its way the parser is to say why, but does not see what comes behind.
	end := min(len(t.text), t.stoppedAt+4)
	if t.stoppedAt == len(t.text) {
		end = len(t.text)
	}
	_, err := toml.Decode(t.text[:end], &tree)
	var syntax toml.ParseError
	switch {
	case errors.As(err, &syntax):
		line, _ := t.position(syntax.Position.Start)
		l.problemAt(t, syntax.Position.Start, "%s", masked(syntax.Message, t.line(line)))
	case err != nil || t.stoppedAt < len(t.text):
		l.problemAt(t, t.stoppedAt, "this is not TOML")
	default:
		return tree, true
	}
	return nil, false
}

// word is as much of a parser's message as could be a part of a key to Profit.
var word = regexp.MustCompile(`[\pL\pN]{4,}`)

// masked takes out of a parser's message what stands as a value in the line it speaks of.
func masked(message, line string) string {
	_, value, _ := strings.Cut(line, "=")
	value = strings.ToLower(value)
	message = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, message)
	return word.ReplaceAllStringFunc(message, func(w string) string {
		if strings.Contains(value, strings.ToLower(w)) {
			return "…"
		}
		return w
	})
}

func (l *loader) problemAt(t *text, offset int, format string, args ...any) {
	line, column := t.position(offset)
	l.problem(Pos{t.name, line, column}, format, args...)
}

func (l *loader) problem(at Pos, format string, args ...any) {
	if len(l.problems) <= maxProblems {
		l.problems = append(l.problems, Problem{at.File, at.Line, at.Column, fmt.Sprintf(format, args...)})
	}
}

// refuse reports a file that cannot be used, where it is named. One that no setting names is reported by its own name;
// a folder on the way to several of them once.
func (l *loader) refuse(at Pos, err error) {
	l.partial = true
	var bad *fileError
	if errors.As(err, &bad) && at.Line == 0 {
		l.problem(Pos{File: bad.path}, "%s", bad.reason)
		return
	}
	l.problem(at, "%s", err)
}

func (l *loader) warn(at Pos, message string) {
	l.config.Warnings = append(l.config.Warnings, at.String()+": "+message)
}

// sorted gives the problems file by file in the order of reading, each once.
func (l *loader) sorted() Problems {
	order := map[string]int{}
	for i, f := range l.kept.Files {
		order[f.Name] = i + 1
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	problems := slices.Compact(l.problems)
	if len(problems) > maxProblems {
		problems = append(problems[:maxProblems], Problem{File: l.kept.Path, Message: "there are more problems than these"})
	}
	return problems
}
