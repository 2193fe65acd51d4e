// Package keystore keeps the device's Profit tokens where the system keeps its secrets, one secret per identity.
//
// # Stores
//
// [Open] gives one of four stores behind [Store]:
//
//   - sealed: AES-256-GCM records in the state directory, for a Linux service, which has no session keystore;
//   - secret-service: GNOME Keyring, KWallet or KeePassXC over D-Bus, for one person's own instance on Linux;
//   - keychain: the System keychain for the service, the login keychain for a person (macOS, built with cgo);
//   - wincred: Credential Manager of the service's account (Windows), at most 2,560 bytes an item.
//
// The last three go through github.com/99designs/keyring, each with that one backend allowed. "auto" takes the store
// that suits the system, once: the file keystore/backend in the state directory names it from then on. When the
// configuration names another store, Open copies every item, reads each copy back, changes that file, and only then
// deletes the originals; killed at any moment in between, the next Open goes on. A move that cannot be made leaves
// everything where it was, and Status says why.
//
// # Promises
//
// Unreadable is not lost. Only two answers mean that a secret is gone: [ErrNotFound], said by a store that is open and
// has looked, and [ErrLost], said of a record that fails authentication under its own key, or is no record at all.
// Every other failure (locked, denied, slow, disk full, key not at hand) is [ErrUnavailable]: nothing is overwritten,
// and trying again later is right.
//
// Put is durable when it returns nil. A crash or a full disk in the middle leaves the old record, whole.
//
// Every call ends by its context's deadline, or after 10 s if it has none. A keystore can hang without limit (an
// unlock prompt nobody sees, a dead disk): the call is then abandoned and may still take effect; calls that follow
// fail at once until it comes back, so that at most one goroutine is stuck. No store ever asks for a prompt itself:
// a locked keyring is ErrUnavailable.
//
// # The sealed store
//
// Each record is a file STATE/keystore/KEY.sealed: a line that names the format, the id of the key that sealed it
// (derived from the key, which it does not reveal), a random nonce, and the ciphertext of identity, generation, label and secret. Header and
// identity are authenticated, so a record renamed to another identity's name is lost, not served.
//
// The key is 32 bytes, raw, from one of two places:
//
//   - the systemd credential profitd.key ($CREDENTIALS_DIRECTORY/profitd.key, LoadCredentialEncrypted=profitd.key);
//   - failing that, the file STATE/profitd.key, mode 0600, owned by the service's account. It is made at first use.
//
// Any key at hand opens; the credential, if there is one, seals. Open seals anew, under the key that it prefers, what
// another key at hand has sealed; afterwards the key file is not needed, which Status says; removing it is left to
// people. To go from key file to credential, wrap the file's bytes or a new key with systemd-creds. To go back,
// decrypt the credential into the key file.
//
// A credential that cannot be read, or is not 32 bytes, is set aside: Status says so and the key file is used if there
// is one. One that cannot be decrypted systemd would not start the service with; the package's profitd-credential.service
// keeps it back and says why in $PROFITD_CREDENTIAL_TROUBLE. As long as there are records that only a missing key can open, no key file is made: the way out is to bring
// the key back (which Probe, Put and Get notice by themselves where it is the key file, and a restart where it is the
// credential), or to delete those records, which needs no key. When the last is deleted, a new key is made.
//
// # Limits
//
// Who can write the state directory can put back an older copy of a record, or of the whole directory, with an older
// token in it; that is not detected. Who can read the key file and the records has the tokens: the key file protects
// backups of the records alone, the credential (host key or TPM) a stolen disk too. The stores of the system do not
// authenticate records; there, a record whose content is not ours or belongs to another identity is lost.
// Two state directories of one account share its secret-service, keychain or wincred: an identity in both is one item,
// and moving the secrets of one away deletes those of the other. In those stores the label is not what their own
// programs show: keyring shows the name of the item.
//
// What a Sealer sealed opens with the kind of store it was sealed with: after a move, seal anew.
//
// What is said here about keyring was read in and tried with its version 1.2.2; about systemd credentials in
// systemd.exec(5) and systemd-creds(1); about Secret Service in the freedesktop.org specification 0.2.
package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

var (
	// ErrNotFound means that the store is open, has looked, and holds no such item.
	ErrNotFound = errors.New("there is no such item in the keystore")
	// ErrLost means that the record is there and gone for good: it fails authentication under its own key, belongs
	// to another identity, or is no record.
	ErrLost = errors.New("the record is damaged for good")
	// ErrUnavailable means that the keystore cannot do it now; nothing is lost and nothing was overwritten.
	// A call that ran out of time may still take effect.
	ErrUnavailable = errors.New("the keystore is not available")
	// ErrTooLarge means that this kind of store cannot hold an item of this size.
	ErrTooLarge = errors.New("the item is too large for this keystore")
)

// Store keeps one secret per identity. It may be used by many goroutines at once. Every error is, by errors.Is, one
// of ErrNotFound, ErrLost, ErrUnavailable and ErrTooLarge, except that a key this package cannot work with is none.
type Store interface {
	// Put stores item, in place of what its Key held; it is durable when Put returns nil. A record that is there
	// and cannot be read for want of its key is not replaced: ErrUnavailable.
	Put(ctx context.Context, item Item) error
	// Get returns the item of that key, ErrNotFound, ErrLost or ErrUnavailable.
	Get(ctx context.Context, key string) (Item, error)
	// Delete removes the item of that key, readable or not. It returns nil if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all items, damaged ones too, in no particular order.
	List(ctx context.Context) ([]string, error)
	// Probe proves that Put would succeed now: it stores an item of the size of a token under a name of its own,
	// and deletes it. Call it before spending something that only a stored token makes up for.
	Probe(ctx context.Context) error
	// Status tells where the secrets lie and whether they can be read and written.
	Status(ctx context.Context) Status
	// Sealer seals data that is too large or not worth an item of its own, under a key that this store guards.
	Sealer() *Sealer
	// Close ends the store: calls that follow are ErrUnavailable. It does not wait for those under way.
	Close() error
}

// Item is one secret and what it belongs to. It prints, logs and marshals to JSON without Secret.
type Item struct {
	Key        string // the identity: a hash in practice; 1 to 72 bytes of UTF-8 without NUL
	Label      string // for people: "Payroll desktop, 12345.jan"
	Generation uint64 // of the enrolment that brought the secret
	Secret     []byte
}

// Format prints the item without its secret, whatever the verb.
func (i Item) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Key:%q Label:%q Generation:%d Secret:[secret]}", i.Key, i.Label, i.Generation)
}

// LogValue logs the item without its secret.
func (i Item) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key", i.Key), slog.String("label", i.Label), slog.Uint64("generation", i.Generation))
}

// MarshalJSON encodes the item without its secret.
func (i Item) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"key": i.Key, "label": i.Label, "generation": i.Generation})
}

// Status tells people about a store. It holds no secret.
type Status struct {
	Backend string // sealed, secret-service, keychain or wincred
	Key     string // where the key, or the secrets, lie, in plain words
	Healthy bool   // everything that is stored can be read, and the last write succeeded
	Detail  string // what is wrong or worth knowing, and what to do; also when healthy
}
