package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// Any text at all: no panic, every problem has a place in it, and what is valid survives being kept.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../config.example.toml")
	must(f, err)
	for _, seed := range []string{
		complete, string(example), strings.ReplaceAll(string(example), "\n#", "\n"), "a.b.c = [[{d = 1}, {'e f'.g = \"\\u0041\"}]]",
		"[[a]]\n[[a.b]]\n[a.b.c]\nd = '''\n'''\n[[a]]\nb = \"\"\"\"x\"\"\"\"\"", "\"\\e\" = 1\n'' = {}\n\"\" = {\n}", "a = 1979-05-27 07:32:00 # x\nb = [ # y\n1,]\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4<<10 {
			return
		}
		positions(t, string(text))
		c, err := Parse("config.toml", text)
		if err == nil {
			restored, err := Restore(c.Snapshot())
			if err != nil || !reflect.DeepEqual(restored, c) {
				t.Errorf("restored %+v, %v, want %+v", restored, err, c)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 || c != nil {
			t.Fatalf("got %v, %v", c, err)
		}
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.File == "config.toml" && (p.Line > lines || p.Line < 0 || p.Line > 0 && p.Column < 1) || strings.ContainsFunc(p.Message, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%d lines: %q", lines, p)
			}
		}
	})
}

// positions holds the scan against the parser: what the parser takes, the scan takes to its end, and it knows
// a place for every node of the tree.
func positions(t *testing.T, text string) {
	if strings.HasPrefix(text, bom) || strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return // the parser skips these
	}
	var tree map[string]any
	s := scan(text)
	if s.refused != "" {
		return
	}
	if _, err := toml.Decode(text, &tree); err != nil {
		return
	}
	if s.stoppedAt != len(text) || s.twice != nil {
		t.Fatalf("the parser takes %q, the scan stops at %d, duplicates %v", text, s.stoppedAt, s.twice)
	}
	var visit func(path string, data any)
	visit = func(path string, data any) {
		if _, found := s.places[path]; !found && path != "" && !strings.ContainsAny(text, "\\") {
			t.Errorf("%q: nothing found at %q", text, path)
		}
		switch data := data.(type) {
		case map[string]any:
			for key, value := range data {
				visit(child(path, key), value)
			}
		case []any:
			for i, value := range data {
				visit(item(path, i), value)
			}
		case []map[string]any:
			for i, value := range data {
				visit(item(path, i), value)
			}
		}
	}
	visit("", tree)
}
