package service

import (
	_ "embed"
	"fmt"
	"strings"
)

// plist is what the package for macOS installs as it is.
//
//go:embed profitd.plist
var plist string

// plistTemplate is the plist in the language of kardianos/service's templates, for another program.
func plistTemplate() (string, error) {
	text := plist
	for _, change := range [][2]string{
		{"<string>profitd</string>", "<string>{{Name | html}}</string>"},
		{"<string>/usr/local/bin/profitd</string>\n\t\t<string>run</string>",
			"<string>{{Path | html}}</string>{{range Arguments}}\n\t\t<string>{{. | html}}</string>{{end}}"},
	} {
		if strings.Count(text, change[0]) != 1 {
			return "", fmt.Errorf("the plist has no %q", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	return text, nil
}
