package profit

import (
	"strings"
	"unicode"
)

const (
	maxRaw     = 16 << 10 // of a text from outside, in bytes
	maxMessage = 500      // of what is shown of it, in runes
)

// presentable makes one line of text from outside that can neither forge a line of a log, nor steer a terminal, nor
// show one of the secrets.
func presentable(text string, secrets []string) string {
	text = text[:min(len(text), maxRaw)]
	text = strings.Join(strings.Fields(mask(printable(text), secrets)), " ")
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return text
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return -1
		}
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// mask replaces the secrets in a printable text, in any case, and every piece of one that is long enough to tell.
func mask(text string, secrets []string) string {
	const piece = 12
	folded := lower(text)
	hide := make([]bool, len(text))
	for _, secret := range secrets {
		secret = lower(printable(secret))
		width := min(len(secret), piece)
		for i := 0; width > 0 && i+width <= len(secret); i++ {
			markAll(hide, folded, secret[i:i+width])
		}
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hide[i]:
			b.WriteByte(text[i])
		case i == 0 || !hide[i-1]:
			b.WriteString(redacted)
		}
	}
	return strings.ToValidUTF8(b.String(), "")
}

// markAll marks the bytes of text that belong to an occurrence of part.
func markAll(marks []bool, text, part string) {
	for from := 0; ; {
		i := strings.Index(text[from:], part)
		if i < 0 {
			return
		}
		from += i
		for j := range len(part) {
			marks[from+j] = true
		}
		from++
	}
}

// lower folds ASCII alone, so that every byte stays in its place.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
