package enrol

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// The table in the package comment is the table of the code, cell by cell, and it has a cell for every event in every
// state.
func TestTableIsAsDocumented(t *testing.T) {
	documented, order := documentedTable(t)
	if !slices.Equal(order, declaredEvents(t)) {
		t.Errorf("the package comment has the events\n%v, the code declares\n%v", order, declaredEvents(t))
	}
	if len(documented) != len(table) {
		t.Errorf("the package comment has %d rows, the table %d", len(documented), len(table))
	}
	for ev, row := range table {
		if documented[ev] != row {
			t.Errorf("%s: the package comment says %v, the table %v", ev, documented[ev], row)
		}
		for column, to := range row {
			if !slices.Contains(append([]State{stays, never, enrols}, states...), to) {
				t.Errorf("%s in %s leads to %q, which is no state", ev, states[column], to)
			}
		}
	}
}

// next finds every cell, and answers for on_request entries too.
func TestTableIsTotal(t *testing.T) {
	for ev, row := range table {
		for column, from := range states {
			for _, onRequest := range []bool{false, true} {
				want := row[column]
				switch {
				case want == stays:
					want = from
				case want == enrols && onRequest:
					want = Idle
				case want == enrols:
					want = Requesting
				}
				if got := next(from, ev, onRequest); got != want {
					t.Errorf("%s in %s (on request: %v) leads to %q, want %q", ev, from, onRequest, got, want)
				}
			}
		}
	}
}

// What cannot happen changes nothing; what happens to a state that does not mind changes nothing either.
func TestRecordFollowsTheTable(t *testing.T) {
	for ev := range table {
		for _, from := range states {
			r := record{Status: Status{State: from}, Generation: 7, Floor: 3}
			before := r
			happened := r.on(ev, before.Since.AddDate(0, 0, 1))
			to := next(from, ev, false)
			switch {
			case happened != (to != never):
				t.Errorf("%s in %s: on says %v", ev, from, happened)
			case !happened && r.State != from:
				t.Errorf("%s cannot happen in %s, yet it leads to %s", ev, from, r.State)
			case happened && r.State != to:
				t.Errorf("%s in %s leads to %s, want %s", ev, from, r.State, to)
			case r.Generation < before.Generation, to == Requesting && from != Requesting && r.Generation != 8:
				t.Errorf("%s in %s: generation %d after 7", ev, from, r.Generation)
			}
		}
	}
}

func documentedTable(t *testing.T) (rows map[event][7]State, order []event) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "enrol.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	rows = map[event][7]State{}
	var columns []State
	for line := range strings.Lines(file.Doc.Text()) {
		fields := strings.Fields(line)
		switch {
		case !strings.HasPrefix(line, "\t"):
		case len(fields) != len(states)+1:
			t.Errorf("a line of the table has %d columns, not %d: %s", len(fields), len(states)+1, line)
		case columns == nil:
			for _, field := range fields[1:] {
				columns = append(columns, State(field))
			}
		default:
			var row [7]State
			for i, field := range fields[1:] {
				row[i] = State(field)
			}
			rows[event(fields[0])] = row
			order = append(order, event(fields[0]))
		}
	}
	if !slices.Equal(columns, states) {
		t.Fatalf("the table's columns are %v, the states %v", columns, states)
	}
	return rows, order
}

// declaredEvents are the constants of type event, in the order of the source.
func declaredEvents(t *testing.T) (events []event) {
	t.Helper()
	source, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "table.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "event" {
			events = append(events, event(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)))
		}
		return true
	})
	return events
}
