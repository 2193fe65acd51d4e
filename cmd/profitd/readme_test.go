package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/profitd/profitd/daemon/config"
)

// readmeBlocks are the blocks of the README in one language.
func readmeBlocks(t testing.TB, language string) []string {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// TestReadmeClients runs the clients of the README, in languages that know nothing of profitd, against the service.
func TestReadmeClients(t *testing.T) {
	clients := map[string]struct{ program, file, text string }{
		"python": {"python3", "client.py", one(t, readmeBlocks(t, "python"), "profit_token")},
		"shell":  {"sh", "client.sh", one(t, readmeBlocks(t, "sh"), "nc -U")},
		"node":   {"node", "client.js", one(t, readmeBlocks(t, "js"), "socketPath")},
		"curl":   {"sh", "curl.sh", strings.ReplaceAll(one(t, readmeBlocks(t, "sh"), "curl"), "/run/profitd/profitd.sock", `"$PROFITD_SOCKET"`)},
	}
	needs := map[string]string{"python": "python3", "shell": "nc", "node": "node", "curl": "curl"}
	bin := buildProfitctl(t)
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(needs[name]); err != nil {
				t.Skipf("%s is not installed", needs[name])
			}
			script := fmt.Sprintf(`config config.toml 12345.jan
start
mail 12345.jan
stdin code
exec profitctl activate
exec %s %s
stdout 'AfasToken '
stop TERM
! exec %s %s
-- %s --
%s`, client.program, client.file, client.program, client.file, client.file, client.text)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			params := scriptParams(bin)
			params.Dir = dir
			testscript.Run(t, params)
		})
	}
}

// The configurations of the README are in order, once there are keys in them.
func TestReadmeConfigurations(t *testing.T) {
	blocks := readmeBlocks(t, "toml")
	if len(blocks) < 2 {
		t.Errorf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		conf, err := config.Parse("README.md", []byte(strings.ReplaceAll(block, "…", "0123")))
		if err != nil || len(conf.Warnings) > 0 || len(conf.Connectors) == 0 {
			t.Errorf("%v, %+v\n%s", err, conf, block)
		}
	}
}

func one(t *testing.T, blocks []string, word string) string {
	for _, block := range blocks {
		if strings.Contains(block, word) {
			return block
		}
	}
	t.Fatalf("the README has no block with %s", word)
	return ""
}
