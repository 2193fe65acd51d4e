package profit

import (
	"fmt"
	"log/slog"
	"unique"
)

const redacted = "[secret]"

// Secret is an API key, an environment key or an activation code. It prints, logs and marshals as "[secret]";
// only Reveal gives what it holds. Secrets are equal (==) when what they hold is.
type Secret struct{ value hidden }

// NewSecret wraps a value that must not be printed.
func NewSecret(value string) Secret { return Secret{hide(value)} }

// Reveal returns the value itself, to be sent to Profit or sealed and nowhere else.
func (s Secret) Reveal() string { return s.value.reveal() }

// IsZero tells whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String is "[secret]".
func (s Secret) String() string { return redacted }

// Format keeps the value out of every fmt verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the value out of log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the value out of JSON, TOML, XML and every other encoder of text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary keeps the value out of encoding/gob.
func (s Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the value as it stands in a configuration file.
func (s *Secret) UnmarshalText(text []byte) error {
	s.value = hide(string(text))
	return nil
}

// hidden is a string behind a pointer that compares by what it holds. Methods alone do not hide a string: fmt calls
// none on a field that is not exported, nor for %p, and prints what reflection finds. It finds an address here.
type hidden struct{ handle unique.Handle[string] }

func hide(value string) hidden {
	if value == "" {
		return hidden{} // so that the empty string is the zero value
	}
	return hidden{unique.Make(value)}
}

func (h hidden) reveal() string {
	if h == (hidden{}) {
		return ""
	}
	return h.handle.Value()
}
