package keystore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
)

// Options say which store to open. Dir is needed; the zero value of everything else works.
type Options struct {
	Backend        string // auto (or ""), sealed, secret-service, keychain or wincred
	Dir            string // the state directory: keystore/ and profitd.key are made in it
	User           bool   // one person's own instance: their keystore, not the machine's
	CredentialsDir string // where systemd put credentials; "": $CREDENTIALS_DIRECTORY
	Trouble        string // why systemd was not given the credential; "": $PROFITD_CREDENTIAL_TROUBLE
	Collection     string // of the Secret Service; "": login if there is one, else the default one, chosen once
	Log            *slog.Logger
}

// Open opens the store that Options name, and first moves the items there if they are in another (see the package
// comment). A keystore that is locked, or whose key is not at hand, opens all the same: its calls are ErrUnavailable
// until that is mended. The error tells of a directory that cannot be used or of a store that this system does not
// have. One process at a time may have a directory open.
func Open(ctx context.Context, o Options) (Store, error) {
	if o.CredentialsDir == "" {
		o.CredentialsDir = os.Getenv("CREDENTIALS_DIRECTORY")
	}
	if o.Trouble == "" {
		o.Trouble = os.Getenv("PROFITD_CREDENTIAL_TROUBLE")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	store, err := o.open(ctx)
	if err != nil {
		return nil, cannot("open the keystore", err)
	}
	return store, nil
}

func (o Options) open(ctx context.Context) (*guard, error) {
	if err := os.MkdirAll(recordsDir(o.Dir), 0o700); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.Dir, recordsDir(o.Dir)} {
		if err := removeTemps(dir); err != nil {
			return nil, err
		}
	}
	m := &move{dir: recordsDir(o.Dir), log: o.Log}
	if err := m.load(); err != nil {
		return nil, err
	}
	m.open = func(backend string) (*guard, error) { return o.openBackend(backend, m) }
	want := o.Backend
	if want == "auto" || want == "" {
		if want = m.now().Backend; want == "" {
			want = natural(runtime.GOOS, o.User)
		}
	}
	return m.to(ctx, want)
}

// natural is what "auto" stands for.
func natural(goos string, user bool) string {
	switch {
	case goos == "windows":
		return "wincred"
	case goos == "darwin":
		return "keychain"
	case user:
		return "secret-service"
	}
	return "sealed"
}

// openBackend opens one kind of store.
func (o Options) openBackend(name string, m *move) (*guard, error) {
	var b backend
	var err error
	switch name {
	case "sealed":
		b, err = openSealed(o)
	case "secret-service":
		collection := o.Collection
		if collection == "" {
			collection = m.now().Collection
		}
		b, err = openSecretService(collection, m.chosen)
	case "keychain":
		b, err = openKeychain(o.User)
	case "wincred":
		b, err = openWincred()
	default:
		err = fmt.Errorf("there is no backend %q; it is auto, sealed, secret-service, keychain or wincred", name)
	}
	if err != nil {
		return nil, err
	}
	return newGuard(name, b), nil
}
