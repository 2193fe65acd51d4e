package keystore

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/99designs/keyring"

	_ "github.com/profitd/profitd/daemon/keystore/sessionbus" // before keyring's own initialisation
)

const (
	// Items of ours are known by their names: keyring gives them no other mark in Secret Service.
	itemPrefix     = "profitd/"
	probeName      = "profitd probe"
	sealingKeyName = "profitd sealing key"
)

// ring keeps items in one of the keystores of the system. It is a backend: one call at a time.
type ring struct {
	config keyring.Config
	where  string // the secrets lie, in plain words
	max    int    // bytes of an item; 0: no limit
	// ready returns nil if the keystore is there and unlocked. Nil where such a thing cannot be asked.
	ready func(*keyring.Config) error
	// names returns the names of all items; nil where keyring tells them, errors included.
	names func() ([]string, error)

	opened  keyring.Keyring // nil until the first call that found the keystore ready
	sealing keys            // for Sealer; nil until first needed
}

// do runs f on the keystore if it is ready. That something is not there, or damaged, is believed only if the keystore
// is still ready afterwards: one that gets locked meanwhile finds nothing either.
func (r *ring) do(f func(keyring.Keyring) error) error {
	if err := r.open(); err != nil {
		return err
	}
	err := f(r.opened)
	if err == nil {
		return nil
	}
	if err := r.open(); err != nil {
		return err
	}
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, keyring.ErrKeyNotFound):
		return ErrNotFound
	case errors.As(err, &syntax), errors.As(err, &wrongType): // keyring wraps data in JSON for Secret Service
		return fmt.Errorf("%w: it is not an item of profitd", ErrLost)
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err)
}

func (r *ring) open() error {
	if r.ready != nil {
		if err := r.ready(&r.config); err != nil {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
	}
	if r.opened != nil {
		return nil
	}
	opened, err := keyring.Open(r.config)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	r.opened = opened
	return nil
}

func (r *ring) set(name, label string, data []byte) error {
	if r.max > 0 && len(data) > r.max {
		return fmt.Errorf("%w: it has %d bytes with its label, and at most %d fit", ErrTooLarge, len(data), r.max)
	}
	return r.do(func(k keyring.Keyring) error {
		return k.Set(keyring.Item{
			Key:                       name,
			Label:                     label,
			Description:               "kept by profitd",
			Data:                      data,
			KeychainNotSynchronizable: true,
		})
	})
}

// data returns the content of an item.
func (r *ring) data(name string) (data []byte, err error) {
	err = r.do(func(k keyring.Keyring) error {
		item, err := k.Get(name)
		data = item.Data
		return err
	})
	return data, err
}

func (r *ring) remove(name string) error {
	err := r.do(func(k keyring.Keyring) error { return k.Remove(name) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// itemName is the name under which an item is kept. Credential Manager takes "A" for "a".
func itemName(key string) string { return itemPrefix + escape(key) }

func (r *ring) put(item Item) error { return r.set(itemName(item.Key), item.Label, encodeItem(item)) }

func (r *ring) get(key string) (Item, error) {
	data, err := r.data(itemName(key))
	if err != nil {
		return Item{}, err
	}
	return decodeItem(key, data)
}

func (r *ring) delete(key string) error { return r.remove(itemName(key)) }

func (r *ring) list() ([]string, error) {
	var list []string
	err := r.do(func(k keyring.Keyring) error {
		names, err := k.Keys() // of everybody's items
		if r.names != nil {
			names, err = r.names()
		}
		for _, name := range names {
			escaped, ours := strings.CutPrefix(name, itemPrefix)
			if key, ok := unescape(escaped); ours && ok {
				list = append(list, key)
			}
		}
		return err
	})
	return list, err
}

func (r *ring) probe() error {
	if err := r.set(probeName, "", make([]byte, probeSize)); err != nil {
		return err
	}
	return r.remove(probeName)
}

// keys reads the one key of Sealer from its own item, or makes it.
func (r *ring) keys(create bool) (keys, error) {
	if r.sealing != nil {
		return r.sealing, nil
	}
	raw, err := r.data(sealingKeyName)
	if errors.Is(err, ErrNotFound) {
		if !create {
			return nil, nil
		}
		raw = make([]byte, keySize)
		rand.Read(raw)
		err = r.set(sealingKeyName, "seals profitd's last good configuration", raw)
	}
	if err != nil {
		return nil, err
	}
	k, err := newKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the item %q is damaged: %v; delete it and profitd makes a new one", ErrUnavailable, sealingKeyName, err)
	}
	r.sealing = keys{k}
	return r.sealing, nil
}

func (r *ring) status() Status {
	if err := r.open(); err != nil {
		return Status{Key: r.where, Detail: err.Error()}
	}
	return Status{Key: r.where, Healthy: true}
}

// built tells whether this build of profitd has a keystore: keychain needs macOS and cgo, wincred Windows.
func built(backend keyring.BackendType) error {
	if !slices.Contains(keyring.AvailableBackends(), backend) {
		return fmt.Errorf("this build of profitd cannot use %s (keychain needs macOS and a build with cgo, wincred needs Windows); set backend = \"auto\"", backend)
	}
	return nil
}
