package keystore

import "github.com/99designs/keyring"

// openKeychain gives the login keychain of a person, or the System keychain.
func openKeychain(user bool) (*ring, error) {
	if err := built(keyring.KeychainBackend); err != nil {
		return nil, err
	}
	r := &ring{
		config: keyring.Config{
			AllowedBackends:          []keyring.BackendType{keyring.KeychainBackend},
			ServiceName:              "profitd",
			KeychainTrustApplication: true, // or macOS asks a person for each item
		},
		where: "login keychain",
	}
	if !user {
		r.config.KeychainName = "/Library/Keychains/System" // keyring adds .keychain
		r.where = "System keychain"
	}
	return r, nil
}
