package service

import "testing"

// See TestPlistTemplate.
func TestUnitTemplate(t *testing.T) {
	text, err := unitTemplate(Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkActions(t, text, "Description", "Path | cmdEscape", "range Arguments", ". | cmd", "end", "UserName")
}
