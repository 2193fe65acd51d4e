package keystore

import (
	"context"
	"log/slog"
	"os"
)

// Options say which store to open. Dir is needed; the zero value of everything else works.
type Options struct {
	Backend        string // auto (or ""), sealed, secret-service, keychain or wincred
	Dir            string // the state directory: keystore/ and profitd.key are made in it
	User           bool   // one person's own instance: their keystore, not the machine's
	CredentialsDir string // where systemd put credentials; "": $CREDENTIALS_DIRECTORY
	Collection     string // of the Secret Service; "": login if there is one, else the default one
	Log            *slog.Logger
}

// Open opens the store.
func Open(ctx context.Context, o Options) (Store, error) {
	if o.CredentialsDir == "" {
		o.CredentialsDir = os.Getenv("CREDENTIALS_DIRECTORY")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(recordsDir(o.Dir), 0o700); err != nil {
		return nil, err
	}
	s, err := openSealed(o.Dir, o.CredentialsDir, o.Log)
	if err != nil {
		return nil, err
	}
	return newGuard("sealed", s), nil
}
