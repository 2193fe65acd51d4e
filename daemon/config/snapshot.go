package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// snapshot is everything a Config was made of, with keys: whoever stores it seals it.
type snapshot struct {
	Path  string // of config.toml
	Dir   string // where relative paths start
	Host  string // the host name
	Files []file // in the order in which they were read
}

type file struct {
	Name string
	Data []byte
	Part bool // one of config.d
}

// Snapshot gives all that the configuration was made of, contents of files included, for Restore. It holds keys in
// the clear: seal it before it goes anywhere.
func (c *Config) Snapshot() []byte {
	data, err := json.Marshal(c.sources)
	if err != nil {
		panic(err) // strings and bytes always marshal
	}
	return data
}

// Restore makes the Config again from what Snapshot gave, without looking at the disk. The error is Problems when a
// newer profitd no longer accepts what an older one did.
func Restore(data []byte) (*Config, error) {
	var kept snapshot
	if err := json.Unmarshal(data, &kept); err != nil || len(kept.Files) == 0 {
		return nil, fmt.Errorf("cannot restore the last good configuration: this is no snapshot of one")
	}
	return assemble(&kept, kept.Path, kept.Dir, kept.Host)
}

// Parse reads one text as if it were config.toml and the only file there is. name stands in positions.
func Parse(name string, text []byte) (*Config, error) {
	host, _ := os.Hostname()
	return assemble(&snapshot{Files: []file{{Name: name, Data: text}}}, name, filepath.Dir(name), host)
}

func (s *snapshot) read(name string, _ bool) ([]byte, error) {
	for _, f := range s.Files {
		if f.Name == name {
			return f.Data, nil
		}
	}
	return nil, cannotRead(name, fs.ErrNotExist)
}

func (s *snapshot) list(string) (names []string, err error) {
	for _, f := range s.Files {
		if f.Part {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

func (s *snapshot) sum() string {
	hash := sha256.New()
	for _, f := range s.Files {
		fmt.Fprintf(hash, "%d:%s%d:", len(f.Name), f.Name, len(f.Data))
		hash.Write(f.Data)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
