//go:build docs

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"
)

// Built with the tag docs, the program writes its manual pages into the directory that its argument names and does
// nothing else: what writes manuals is not to be part of what is installed.
func init() {
	root := rootCommand()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "profitd", Manual: "profitd"} // dated by SOURCE_DATE_EPOCH
	if err := doc.GenManTree(root, header, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the manual pages:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
