package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

const (
	keySize = 32 // AES-256

	// What is sealed begins with a line that names the format, then the id of the key, then what
	// cipher.NewGCMWithRandomNonce makes: nonce, ciphertext, tag. Line, id and a name are authenticated.
	formatFamily = "profitd sealed "
	formatLine   = formatFamily + "1\n"
	headerSize   = len(formatLine) + len(keyID{})
)

// keyID names a key without revealing it.
type keyID [8]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// key seals and opens. It holds no printable form of itself.
type key struct {
	id   keyID
	aead cipher.AEAD // nil: no key
}

// newKey makes a key of 32 bytes.
func newKey(raw []byte) (key, error) {
	if len(raw) != keySize {
		return key{}, fmt.Errorf("a key has %d bytes, not %d", keySize, len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return key{}, err
	}
	sum := sha256.Sum256(append([]byte("profitd key id\x00"), raw...))
	return key{keyID(sum[:8]), aead}, nil
}

// keys are the keys at hand: the first one seals, any opens.
type keys []key

func (ks keys) has(id keyID) bool {
	for _, k := range ks {
		if k.id == id {
			return true
		}
	}
	return false
}

// seal encrypts plain so that it opens under this name only.
func (ks keys) seal(name string, plain []byte) ([]byte, error) {
	if len(ks) == 0 {
		return nil, fmt.Errorf("%w: there is no key", ErrUnavailable)
	}
	k := ks[0]
	header := append(make([]byte, 0, headerSize+k.aead.Overhead()+len(plain)), formatLine...)
	header = append(header, k.id[:]...)
	return k.aead.Seal(header, nil, plain, additional(header, name)), nil
}

// open returns what was sealed under this name: ErrLost if it is damaged or bears another name, ErrUnavailable if
// its key is not at hand.
func (ks keys) open(name string, sealed []byte) ([]byte, error) {
	id, err := sealedBy(sealed)
	if err != nil {
		return nil, err
	}
	for _, k := range ks {
		if k.id != id {
			continue
		}
		plain, err := k.aead.Open(nil, nil, sealed[headerSize:], additional(sealed[:headerSize], name))
		if err != nil {
			return nil, fmt.Errorf("%w: it fails authentication under its own key %s", ErrLost, id)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: it is sealed by key %s, which is not at hand", ErrUnavailable, id)
}

// sealedBy reads which key sealed something, of which at least the first headerSize bytes are given.
func sealedBy(sealed []byte) (keyID, error) {
	line, _, whole := bytes.Cut(sealed[:min(len(sealed), headerSize)], []byte("\n"))
	if whole && bytes.HasPrefix(line, []byte(formatFamily)) && string(line)+"\n" != formatLine {
		return keyID{}, fmt.Errorf("%w: it was sealed by a newer profitd: install that version again", ErrUnavailable)
	}
	if len(sealed) < headerSize || !bytes.HasPrefix(sealed, []byte(formatLine)) {
		return keyID{}, fmt.Errorf("%w: it is no sealed record", ErrLost)
	}
	return keyID(sealed[len(formatLine):headerSize]), nil
}

// additional is the data that is authenticated beside the ciphertext.
func additional(header []byte, name string) []byte {
	return append(bytes.Clone(header), name...)
}

// Sealer seals data of any size, such as the last good configuration, under a key that a Store guards: the key of
// the sealed store, or one that is an item of the system's keystore. It may be used by many goroutines at once.
type Sealer struct {
	keys func(create bool) (keys, error)
}

// Seal encrypts and authenticates plain, bound to name: what is sealed under one name does not open under another.
// The error is ErrUnavailable.
func (s *Sealer) Seal(name string, plain []byte) ([]byte, error) {
	ks, err := s.keys(true)
	if err != nil {
		return nil, cannot("seal "+name, err)
	}
	sealed, err := ks.seal("data/"+name, plain)
	return sealed, cannot("seal "+name, err)
}

// Open returns what Seal was given under that name: ErrLost if it was damaged or bears another name, ErrUnavailable
// if the key that sealed it is not at hand.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	ks, err := s.keys(false)
	if err != nil {
		return nil, cannot("open "+name, err)
	}
	plain, err := ks.open("data/"+name, sealed)
	return plain, cannot("open "+name, err)
}
