package keystore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/99designs/keyring"
	"github.com/godbus/dbus"
)

// Names of the Secret Service specification, https://specifications.freedesktop.org/secret-service/0.2/.
const (
	secretsName      = "org.freedesktop.secrets"
	secretsPath      = "/org/freedesktop/secrets"
	collectionPrefix = secretsPath + "/collection/"
	loginCollection  = "login" // GNOME Keyring's, unlocked by logging in
)

// openSecretService gives the items of one collection of the Secret Service. Without a name the collection is
// chosen when the service is first reached, and chosen is told of it, so that it stays the same afterwards.
//
// keyring alone is not enough: to it a locked keyring is a reason to prompt, in which it waits for ever, and a
// collection that does not exist an item that is not there. So each call asks first, over the same connection.
func openSecretService(collection string, chosen func(string) error) (*ring, error) {
	return &ring{
		config: keyring.Config{
			AllowedBackends:         []keyring.BackendType{keyring.SecretServiceBackend},
			LibSecretCollectionName: collection,
		},
		where: "Secret Service of the logged-in user (GNOME Keyring, KWallet or KeePassXC)",
		ready: func(c *keyring.Config) error { return secretServiceReady(&c.LibSecretCollectionName, chosen) },
	}, nil
}

func secretServiceReady(collection *string, chosen func(string) error) error {
	bus, err := dbus.SessionBus()
	if err != nil {
		return errors.New("there is no D-Bus session bus; start profitd within the user's session, or set backend = \"sealed\"")
	}
	service := bus.Object(secretsName, secretsPath)
	found, err := service.GetProperty("org.freedesktop.Secret.Service.Collections")
	if err != nil {
		return fmt.Errorf("no Secret Service answers on the session bus: %v; install or start gnome-keyring, KWallet or KeePassXC", err)
	}
	paths, _ := found.Value().([]dbus.ObjectPath)
	if *collection == "" {
		name := choose(service, paths)
		if name == "" {
			return errors.New("the Secret Service has no keyring yet; log in, or make one in the keyring's own program")
		}
		if err := chosen(name); err != nil {
			return err
		}
		*collection = name
	}
	for _, path := range paths {
		if collectionName(path) == *collection {
			return unlocked(bus.Object(secretsName, path), *collection)
		}
	}
	return fmt.Errorf("the keyring %q is not open; log in, or open it in the keyring's own program", *collection)
}

func unlocked(collection dbus.BusObject, name string) error {
	locked, err := collection.GetProperty("org.freedesktop.Secret.Collection.Locked")
	if err != nil {
		return fmt.Errorf("the keyring %q does not answer: %v", name, err)
	}
	if locked.Value() != false {
		return fmt.Errorf("the keyring %q is locked; unlock it by logging in, or in the keyring's own program", name)
	}
	return nil
}

// choose takes the login keyring, else the service's default one; "" if there is neither.
func choose(service dbus.BusObject, paths []dbus.ObjectPath) string {
	for _, path := range paths {
		if collectionName(path) == loginCollection {
			return loginCollection
		}
	}
	var path dbus.ObjectPath
	if err := service.Call("org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&path); err != nil {
		return ""
	}
	return collectionName(path)
}

// collectionName reads a collection's name from its path, where _XX stands for a byte, as keyring does; "" if it is
// not the path of a collection.
func collectionName(path dbus.ObjectPath) string {
	name, _ := strings.CutPrefix(string(path), collectionPrefix)
	decoded, err := url.PathUnescape(strings.ReplaceAll(name, "_", "%"))
	if err != nil || name == string(path) {
		return ""
	}
	return decoded
}
