package profit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// Token is a classic token of Profit: a static key for one environment, app connector, user and device. It prints,
// logs and marshals as its fingerprint; [Token.Secret] and [Token.Authorization] give what it holds. Tokens are equal
// (==) when what they hold is. The zero Token is none.
type Token struct{ xml hidden }

// tokenXML is what Profit issues. AFAS shows 64 hexadecimal digits and promises no number, so any number is taken.
var tokenXML = regexp.MustCompile(`^<token><version>1</version><data>[0-9A-Fa-f]+</data></token>$`)

// maxToken is far beyond the 109 bytes of a token, and within what every keystore takes.
const maxToken = 2048

// ParseToken takes a token as Profit sends it, <token><version>1</version><data>979D…</data></token>, with or without
// the line end that Profit puts behind it. The error does not quote the text.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxToken || !tokenXML.MatchString(text) {
		return Token{}, errors.New("this is no token of Profit: it has to read <token><version>1</version><data>…</data></token>")
	}
	return Token{hide(text)}, nil
}

// Secret returns the whole token, tags included, without a line end: to be stored or handed to its owner.
func (t Token) Secret() string { return t.xml.reveal() }

// Authorization returns the value of the Authorization header that calls with this token carry, "" for the zero Token.
func (t Token) Authorization() string {
	if t.IsZero() {
		return ""
	}
	return "AfasToken " + base64.StdEncoding.EncodeToString([]byte(t.Secret()))
}

// Fingerprint names a token to people and in logs: the first 8 hexadecimal digits of the SHA-256 of Secret. It is ""
// for the zero Token.
func (t Token) Fingerprint() string {
	if t.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(t.Secret()))
	return hex.EncodeToString(sum[:4])
}

// IsZero tells whether there is no token.
func (t Token) IsZero() bool { return t == Token{} }

// String is the fingerprint.
func (t Token) String() string { return t.Fingerprint() }

// Format prints the fingerprint for every fmt verb.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.Fingerprint()) }

// LogValue logs the fingerprint.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.Fingerprint()) }

// MarshalText encodes the fingerprint, in JSON, XML and every other encoder of text.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.Fingerprint()), nil }

// MarshalBinary encodes the fingerprint, in encoding/gob.
func (t Token) MarshalBinary() ([]byte, error) { return []byte(t.Fingerprint()), nil }
