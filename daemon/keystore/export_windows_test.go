package keystore

import "github.com/99designs/keyring"

// OpenWincred opens Credential Manager for items of a test alone, and gives the store and the ring under it.
func OpenWincred(prefix string) (Store, keyring.Keyring, error) {
	r := wincredRing(prefix)
	if err := r.open(); err != nil {
		return nil, nil, err
	}
	return newGuard("wincred", r), r.opened, nil
}

// MaxCredential is how many bytes an item may have.
const MaxCredential = maxCredential

// EncodedSize is how many bytes the item has in a store.
func EncodedSize(item Item) int { return len(encodeItem(item)) }
