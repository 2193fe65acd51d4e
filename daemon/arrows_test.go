package daemon

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/profitd/profitd/"

// arrows says which packages of ours each may import. "daemon/*" are those below daemon. Tests are free.
var arrows = map[string][]string{
	"cmd/profitctl":                {"ipc"},
	"cmd/profitd":                  {"daemon", "daemon/*", "profit", "ipc", "profit/profittest"}, // see TestDemoAlone
	"daemon":                       {"daemon/*", "ipc", "profit"},
	"daemon/config":                {"profit"}, // for Secret and the rules of URLs
	"daemon/enrol":                 {"profit", "daemon/keystore"},
	"daemon/keystore":              {"daemon/keystore/sessionbus"},
	"daemon/keystore/keystoretest": {"daemon/keystore"},
	"daemon/keystore/sessionbus":   {},
	"daemon/service":               {},
	"ipc":                          {},
	"profit":                       {},
	"profit/profittest":            {"profit"},
}

// The arrows go one way. A new package needs a line above.
func TestArrows(t *testing.T) {
	for _, system := range []string{"linux", "windows", "darwin"} {
		command := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,Dir", "./...")
		command.Dir = ".."
		command.Env = append(command.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		output, err := command.Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("go list: %s", exit.Stderr)
			}
			t.Fatal(err)
		}
		found := 0
		for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
			var p struct {
				ImportPath, Dir  string
				Imports, GoFiles []string
			}
			if err := decoder.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if len(p.GoFiles) == 0 {
				continue // tests alone
			}
			found++
			name := strings.TrimPrefix(p.ImportPath, module)
			may, known := arrows[name]
			if !known {
				t.Errorf("%s: %s is in no arrow", system, name)
			}
			for _, imported := range p.Imports {
				to, ours := strings.CutPrefix(imported, module)
				allowed := slices.ContainsFunc(may, func(pattern string) bool {
					below, is := strings.CutSuffix(pattern, "*")
					return pattern == to || is && strings.HasPrefix(to, below)
				})
				if ours && !allowed {
					t.Errorf("%s: %s imports %s", system, name, to)
				}
			}
		}
		if found < len(arrows)-1 {
			t.Errorf("%s: only %d packages", system, found)
		}
	}
}

// What cmd/profitd has of the API and the simulator is for the demo, but for the path of the socket.
func TestDemoAlone(t *testing.T) {
	files, err := filepath.Glob("../cmd/profitd/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "demo") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range parsed.Imports {
			switch path := strings.Trim(imported.Path.Value, `"`); path {
			case module + "ipc", module + "profit/profittest":
				if name != "paths.go" || path != module+"ipc" {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
