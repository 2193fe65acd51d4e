package keystore

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxKey keeps the name of a sealed record and that of a credential, in which a byte of the key may take three, within
// 255 characters.
const maxKey = 72

// itemVersion begins every encoded item; a newer profitd may write another.
const itemVersion = 1

// encodeItem gives the bytes that a store keeps: version, generation, then key and label with their lengths, then
// the secret. The key is inside because the keystores of the system do not bind an item to its name.
func encodeItem(item Item) []byte {
	b := make([]byte, 0, 1+8+2*binary.MaxVarintLen16+len(item.Key)+len(item.Label)+len(item.Secret))
	b = append(b, itemVersion)
	b = binary.BigEndian.AppendUint64(b, item.Generation)
	for _, text := range []string{item.Key, item.Label} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return append(b, item.Secret...)
}

// decodeItem is the reverse of encodeItem. What is not an item, or is the item of another key, is ErrLost; an item
// of a version that we do not know is ErrUnavailable, for the profitd that wrote it can read it.
func decodeItem(key string, b []byte) (Item, error) {
	if len(b) > 0 && b[0] > itemVersion {
		return Item{}, fmt.Errorf("%w: the item was written by a newer profitd: install that version again", ErrUnavailable)
	}
	if len(b) < 9 || b[0] != itemVersion {
		return Item{}, fmt.Errorf("%w: it is not an item of profitd", ErrLost)
	}
	item := Item{Generation: binary.BigEndian.Uint64(b[1:9])}
	b = b[9:]
	for _, field := range []*string{&item.Key, &item.Label} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Item{}, fmt.Errorf("%w: it is cut short", ErrLost)
		}
		*field = string(b[n : n+int(size)])
		b = b[n+int(size):]
	}
	if item.Key != key {
		return Item{}, fmt.Errorf("%w: it belongs to another identity", ErrLost)
	}
	item.Secret = b
	return item, nil
}

// checkKey refuses keys that not every store could keep: D-Bus knows only UTF-8 without NUL.
func checkKey(key string) error {
	if len(key) == 0 || len(key) > maxKey {
		return fmt.Errorf("a keystore's key has 1 to %d bytes, not %d", maxKey, len(key))
	}
	if !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return fmt.Errorf("a keystore's key is UTF-8 without NUL")
	}
	return nil
}
