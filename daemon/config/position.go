package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The deepest setting, in the widest spelling, is connectors = {x = {users = [{accounts = ["…"]}]}}. The limits are
// above what anybody writes and far below what hurts the parser.
const (
	maxDepth = 8   // arrays and tables within one another, and parts of a dotted key
	maxKey   = 256 // bytes of a dotted key as written
)

// A path names a node of the tree: keys and array indexes, each behind its mark. Paths are only compared and shown.
func child(path, key string) string  { return path + "\x00." + key }
func item(path string, i int) string { return path + "\x00#" + strconv.Itoa(i) }
func parent(path string) (up string) { up = path[:max(0, strings.LastIndexByte(path, 0))]; return up }
func dotted(path string) (out string) {
	for i, part := range strings.Split(path, "\x00")[1:] {
		switch {
		case part[0] == '#':
			out += "[" + part[1:] + "]"
			continue
		case i > 0:
			out += "."
		}
		if key := part[1:]; bareLength(key) == len(key) && key != "" {
			out += key
		} else {
			out += strconv.Quote(key)
		}
	}
	return out
}

// layout says where the keys and array elements of a TOML text stand. The parser does not tell.
type layout struct {
	places    map[string]place
	lines     []int // where each line starts
	text      string
	twice     []duplicate
	stoppedAt int    // where the scan ended: len(text), or what it took for an error
	refused   string // why a parser must not see this text; empty if it may
}

// place is where a node stands first. It is explicit when a header or a value stood there and not only a part of a
// longer key: then it may not come again.
type place struct {
	offset   int
	explicit bool
}

type duplicate struct {
	path          string
	first, second int
}

// scan goes through a TOML text once. It knows keys, strings, comments and brackets, and is lenient about the rest:
// it agrees with the parser on every text that the parser takes, and stops where it does not know its way.
func scan(text string) *layout {
	s := &scanner{layout: layout{text: text, places: map[string]place{}, lines: []int{0}}, tables: map[string]int{}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	for s.blank("\n"); s.at < len(text) && s.takeLine(); s.blank("\n") {
	}
	s.stoppedAt = s.at
	return &s.layout
}

// position turns an offset into line and column, both from 1; the column counts characters.
func (l *layout) position(offset int) (line, column int) {
	offset = min(max(offset, 0), len(l.text))
	line = sort.Search(len(l.lines), func(i int) bool { return l.lines[i] > offset })
	return line, utf8.RuneCountInString(l.text[l.lines[line-1]:offset]) + 1
}

// line gives the text of a line, from 1.
func (l *layout) line(n int) string {
	text := l.text[l.lines[n-1]:]
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	return text
}

// find gives the place of a node, or of the nearest one above it that has one.
func (l *layout) find(path string) (line, column int) {
	for {
		if at, ok := l.places[path]; ok || path == "" {
			return l.position(at.offset)
		}
		path = parent(path)
	}
}

type scanner struct {
	layout
	at     int
	table  string         // what the last header opened
	tables map[string]int // how many elements an array of tables has so far
}

// takeLine takes a header or a key with its value, up to the end of the line.
func (s *scanner) takeLine() bool {
	ok := false
	if s.next("[") {
		ok = s.header()
	} else {
		ok = s.pair(s.table, 0)
	}
	s.blank("")
	return ok && (s.at == len(s.text) || s.text[s.at] == '\n')
}

func (s *scanner) header() bool {
	start := s.at - 1
	array := s.next("[")
	keys, _, ok := s.key()
	if !ok || !s.next("]") || array && !s.next("]") {
		return false
	}
	path := ""
	for i, key := range keys {
		path = child(path, key)
		last := i == len(keys)-1
		s.record(path, start, last && !array)
		switch n := s.tables[path]; {
		case last && array:
			s.tables[path]++
			path = item(path, n)
			s.record(path, start, true)
		case n > 0:
			path = item(path, n-1)
		}
	}
	s.table = path
	return true
}

func (s *scanner) pair(path string, depth int) bool {
	keys, offsets, ok := s.key()
	if !ok || !s.next("=") {
		return false
	}
	for i, key := range keys {
		path = child(path, key)
		s.record(path, offsets[i], i == len(keys)-1)
	}
	s.spaces()
	return s.value(path, depth)
}

func (s *scanner) record(path string, offset int, explicit bool) {
	before, found := s.places[path]
	switch {
	case found && before.explicit && explicit:
		s.twice = append(s.twice, duplicate{path, before.offset, offset})
	case !found || explicit:
		s.places[path] = place{offset, explicit}
	}
}

// key takes a dotted key and the blanks around it.
func (s *scanner) key() (keys []string, offsets []int, ok bool) {
	start := s.at
	for {
		s.spaces()
		offsets = append(offsets, s.at)
		rest := s.text[s.at:]
		length, ok := bareLength(rest), true
		if strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "'") {
			length, ok = quotedLength(rest)
		}
		if length == 0 || !ok {
			return nil, nil, false
		}
		keys = append(keys, unquote(rest[:length]))
		s.at += length
		if len(keys) > maxDepth || s.at-start > maxKey {
			s.at = start
			return nil, nil, s.refuse(fmt.Sprintf("this key is too long: at most %d parts and %d bytes", maxDepth, maxKey))
		}
		s.spaces()
		if !s.next(".") {
			return keys, offsets, true
		}
	}
}

func (s *scanner) value(path string, depth int) bool {
	rest := s.text[s.at:]
	switch {
	case rest == "":
		return false
	case rest[0] == '"' || rest[0] == '\'':
		length, ok := quotedLength(rest)
		s.at += length
		return ok
	case rest[0] != '[' && rest[0] != '{': // a number, a date or a truth value: the parser's business
		if end := strings.IndexAny(rest, ",]}#\n"); end >= 0 {
			rest = rest[:end]
		}
		s.at += len(rest)
		return true
	case depth == maxDepth:
		return s.refuse("this is nested too deeply")
	}
	s.at++
	end := map[byte]string{'[': "]", '{': "}"}[rest[0]]
	for i := 0; ; i++ {
		if s.blank("\n"); s.next(end) {
			return true
		}
		ok := false
		if end == "}" {
			ok = s.pair(path, depth+1)
		} else {
			s.record(item(path, i), s.at, true)
			ok = s.value(item(path, i), depth+1)
		}
		if s.blank("\n"); !ok || !s.next(",") {
			return ok && s.next(end)
		}
	}
}

func (s *scanner) refuse(why string) bool {
	if s.refused == "" {
		s.refused = why
	}
	return false
}

func (s *scanner) next(token string) bool {
	if !strings.HasPrefix(s.text[s.at:], token) {
		return false
	}
	s.at += len(token)
	return true
}

func (s *scanner) spaces() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t') {
		s.at++
	}
}

// blank skips white space and comments, and line ends too if they are given.
func (s *scanner) blank(lineEnds string) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '#':
			if end := strings.IndexByte(s.text[s.at:], '\n'); end >= 0 {
				s.at += end
			} else {
				s.at = len(s.text)
			}
		case c == ' ' || c == '\t' || c == '\r' || strings.IndexByte(lineEnds, c) >= 0:
			s.at++
		default:
			return
		}
	}
}

func bareLength(text string) int {
	for i, c := range []byte(text) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '_' && c != '-' {
			return i
		}
	}
	return len(text)
}

// quotedLength is the length of the string that text starts with, quotes included. Without an end it goes as far as
// it can, and is not ok.
func quotedLength(text string) (length int, ok bool) {
	quote := text[:1]
	long := strings.HasPrefix(text, quote+quote+quote)
	if long {
		quote = text[:3]
	}
	for i := len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote[0] == '"':
			i++
		case text[i] == '\n' && !long:
			return i, false
		case strings.HasPrefix(text[i:], quote):
			i += len(quote)
			for extra := 0; long && extra < 2 && strings.HasPrefix(text[i:], quote[:1]); extra++ {
				i++ // a long string may end in one or two quotes of its own
			}
			return i, true
		}
	}
	return len(text), false
}

// unquote gives a key's name. One with an escape that Go does not know keeps its spelling: its place is then that of
// its table.
func unquote(key string) string {
	switch key[0] {
	case '\'':
		return key[1 : len(key)-1]
	case '"':
		if name, err := strconv.Unquote(key); err == nil {
			return name
		}
	}
	return key
}
