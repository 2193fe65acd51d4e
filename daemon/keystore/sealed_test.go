package keystore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/profitd/profitd/daemon/keystore"
	"github.com/profitd/profitd/daemon/keystore/keystoretest"
)

func open(t *testing.T, o keystore.Options) keystore.Store {
	t.Helper()
	s, err := keystore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(dir, key string) string { return filepath.Join(dir, "keystore", key+".sealed") }

func TestSealed(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Fixture {
		dir := t.TempDir()
		o := keystore.Options{Backend: "sealed", Dir: dir}
		keyFile := filepath.Join(dir, "profitd.key")
		return keystoretest.Fixture{
			Store: open(t, o),
			Corrupt: func(key string) {
				data, err := os.ReadFile(record(dir, key))
				must(t, err)
				data[len(data)-20] ^= 1
				must(t, os.WriteFile(record(dir, key), data, 0o600))
			},
			Swap: func(a, b string) {
				must(t, os.Rename(record(dir, a), record(dir, "c")))
				must(t, os.Rename(record(dir, b), record(dir, a)))
				must(t, os.Rename(record(dir, "c"), record(dir, b)))
			},
			HideKey: func() keystore.Store {
				must(t, os.Rename(keyFile, keyFile+".away"))
				return open(t, o)
			},
			ShowKey: func() keystore.Store {
				must(t, os.Rename(keyFile+".away", keyFile))
				return open(t, o)
			},
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
