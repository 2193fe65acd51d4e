// Profitd is the service that holds this device's Profit tokens: it obtains them through Profit's one-time-password
// flow, keeps them in the secure keystore, and hands them to local applications over a Unix socket or a named pipe.
// profitctl is its command line for people and applications; this one is for those who run the service.
package main

import (
	"os"
	"strings"
	"unicode"
)

func main() {
	os.Exit(execute(rootCommand()))
}

// printable keeps what comes from outside from steering a terminal; the lines of a long message stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}
