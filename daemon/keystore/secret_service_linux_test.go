package keystore

import (
	"testing"

	"github.com/godbus/dbus"
)

// Collections are known by the name in their path, as keyring knows them.
func TestCollectionName(t *testing.T) {
	for path, want := range map[dbus.ObjectPath]string{
		"/org/freedesktop/secrets/collection/login":             "login",
		"/org/freedesktop/secrets/collection/Default_5fkeyring": "Default_keyring",
		"/org/freedesktop/secrets/collection/Priv_c3_a9":        "Privé",
		"/org/freedesktop/secrets/collection/a_":                "",
		"/org/freedesktop/secrets/collection/":                  "",
		"/":                                                     "",
		"/org/freedesktop/secrets/aliases/default":              "",
		"/org/freedesktop/secretsX/collection/login":            "",
		"/other/org/freedesktop/secrets/collection/login":       "",
	} {
		if got := collectionName(path); got != want {
			t.Errorf("collectionName(%q) = %q, want %q", path, got, want)
		}
	}
}
