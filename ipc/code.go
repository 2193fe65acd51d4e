package ipc

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

// maxCode is far above the eight digits of AFAS's example; how long a code may be is documented nowhere.
const maxCode = 64

// ActivationCode is the one-time password that Profit mails. It never prints.
type ActivationCode struct{ code string }

// ParseActivationCode takes a code as people copy it out of a mail: spaces, hyphens and invisible characters do
// not matter. It refuses one that is empty, longer than 64 characters, or has anything but letters and digits.
func ParseActivationCode(text string) (ActivationCode, error) {
	var code strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), !unicode.IsGraphic(r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			code.WriteRune(r)
		default:
			return ActivationCode{}, invalidCode("The activation code has a character that is neither a letter nor a digit.")
		}
		if code.Len() > maxCode {
			return ActivationCode{}, invalidCode("The activation code is too long to be one.")
		}
	}
	if code.Len() == 0 {
		return ActivationCode{}, invalidCode("There is no activation code.")
	}
	return ActivationCode{code.String()}, nil
}

func invalidCode(detail string) *Error {
	return NewError(InvalidCode, detail, "Copy the code from the mail that Profit sent, for example 3426 4813.")
}

// Reveal returns the code itself, to be sent to Profit and nowhere else.
func (c ActivationCode) Reveal() string { return c.code }

// Format keeps the code out of every fmt verb.
func (c ActivationCode) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[activation code]") }

// LogValue keeps the code out of log/slog.
func (c ActivationCode) LogValue() slog.Value { return slog.StringValue("[activation code]") }

// MarshalText keeps the code out of every encoder.
func (c ActivationCode) MarshalText() ([]byte, error) { return []byte("[activation code]"), nil }
