package keystore

import "github.com/99designs/keyring"

// maxCredential is CRED_MAX_CREDENTIAL_BLOB_SIZE, the bytes that Windows' Credential Manager keeps in an item. It is
// enforced here because not every implementation of Windows does.
const maxCredential = 5 * 512

// openWincred gives the Credential Manager of the account that the process runs as.
func openWincred() (*ring, error) {
	if err := built(keyring.WinCredBackend); err != nil {
		return nil, err
	}
	return wincredRing("profitd"), nil
}

// wincredRing keeps items under names that begin with the prefix.
func wincredRing(prefix string) *ring {
	return &ring{
		config: keyring.Config{AllowedBackends: []keyring.BackendType{keyring.WinCredBackend}, ServiceName: "profitd", WinCredPrefix: prefix},
		where:  "Credential Manager of the service's account",
		max:    maxCredential,
		ready:  func(*keyring.Config) error { _, err := credentialNames(prefix + ":ready"); return err },
		names:  func() ([]string, error) { return credentialNames(prefix + ":profitd:") },
	}
}
