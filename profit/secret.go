package profit

import (
	"fmt"
	"log/slog"
)

const redacted = "[secret]"

// Secret is an API key, an environment key or an activation code. It prints, logs and marshals as "[secret]";
// only Reveal gives what it holds.
type Secret struct{ value string }

// NewSecret wraps a value that must not be printed.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself, to be sent to Profit or sealed and nowhere else.
func (s Secret) Reveal() string { return s.value }

// IsZero tells whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

// Format keeps the value out of every fmt verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the value out of log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the value out of JSON, TOML, XML and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the value as it stands in a configuration file.
func (s *Secret) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}
