package keystore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/danieljoos/wincred"
)

// credentialNames returns the names of the items that begin with prefix, without it. keyring takes a Credential
// Manager that does not answer for one that is empty.
func credentialNames(prefix string) ([]string, error) {
	found, err := wincred.FilteredList(prefix + "*")
	if errors.Is(err, wincred.ErrElementNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from Credential Manager: %w", err)
	}
	var names []string
	for _, credential := range found {
		if name, ours := strings.CutPrefix(credential.TargetName, prefix); ours {
			names = append(names, name)
		}
	}
	return names, nil
}
