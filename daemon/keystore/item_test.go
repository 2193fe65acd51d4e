package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// However an item or a list of items is printed, its secret is not.
func TestItemDoesNotPrintItsSecret(t *testing.T) {
	item := Item{Key: "3fa9", Label: "Payroll desktop, 12345.jan", Generation: 3, Secret: []byte("sesame")}
	var printed []string
	for _, value := range []any{item, &item, []Item{item}, map[string]Item{"a": item}, struct{ Item Item }{item}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, value))
		}
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(data))
	}
	for _, handler := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("stored", "item", item, "items", []Item{item})
		printed = append(printed, b.String())
	}
	for _, text := range printed {
		for _, secret := range []string{"sesame", fmt.Sprintf("%x", "sesame"), fmt.Sprintf("%X", "sesame"), fmt.Sprint([]byte("sesame")), "c2VzYW1l", "115 101"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows the secret", text)
			}
		}
		if !strings.Contains(text, "3fa9") {
			t.Errorf("%q does not show the key", text)
		}
	}
}

// An item cut short anywhere is lost, or is the item with less of its secret where the store does not authenticate;
// it is never the item of another key, and one of a later format is kept for the program that can read it.
func TestDecodeItem(t *testing.T) {
	item := Item{Key: "key", Label: "label", Generation: 7, Secret: []byte("secret")}
	data := encodeItem(item)
	whole := len(data) - len(item.Secret)
	for n := range data {
		got, err := decodeItem("key", data[:n])
		if n < whole && !errors.Is(err, ErrLost) {
			t.Errorf("%d bytes: %v, %v", n, got, err)
		}
	}
	if _, err := decodeItem("other", data); !errors.Is(err, ErrLost) {
		t.Errorf("another key: %v", err)
	}
	data[0] = itemVersion + 1
	if _, err := decodeItem("key", data); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a later format: %v", err)
	}
	// Lengths that go beyond what is there, and beyond what fits an int.
	for _, length := range [][]byte{{0x7f}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0xff}} {
		if _, err := decodeItem("key", append(bytes.Clone(encodeItem(Item{})[:9]), length...)); !errors.Is(err, ErrLost) {
			t.Errorf("length % x: %v", length, err)
		}
	}
}
