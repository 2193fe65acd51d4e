//go:build !linux

package keystore

import "errors"

func openSecretService(string, func(string) error) (*ring, error) {
	return nil, errors.New("there is no Secret Service on this system; set backend = \"auto\"")
}
