package keystore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// keyName is the name of the systemd credential, and of the key file in the state directory.
const keyName = "profitd.key"

// keyPlaces are where the key of the sealed store may lie.
type keyPlaces struct {
	credential string // path; "" if the service was given no credentials
	file       string // path
	trouble    string // why there is no credential, if somebody knows
}

func newKeyPlaces(stateDir, credentialsDir string) keyPlaces {
	p := keyPlaces{file: filepath.Join(stateDir, keyName)}
	if credentialsDir != "" {
		p.credential = filepath.Join(credentialsDir, keyName)
	}
	return p
}

// foundKeys is what looking there gave.
type foundKeys struct {
	credential, file       key   // without aead if not at hand
	credentialErr, fileErr error // why one that is there cannot be used
}

func (p keyPlaces) find() foundKeys {
	var f foundKeys
	if p.credential != "" {
		f.credential, f.credentialErr = readKey(p.credential)
	}
	if f.credential.aead == nil && f.credentialErr == nil && p.trouble != "" {
		f.credentialErr = errors.New(p.trouble)
	}
	if f.fileErr = checkKeyFile(p.file); f.fileErr == nil {
		f.file, f.fileErr = readKey(p.file)
	}
	return f
}

// keys gives those at hand, the credential first.
func (f foundKeys) keys() keys {
	var ks keys
	for _, k := range []key{f.credential, f.file} {
		if k.aead != nil && !ks.has(k.id) {
			ks = append(ks, k)
		}
	}
	return ks
}

// readKey reads a key, and is content if there is none.
func readKey(path string) (key, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return key{}, nil
	}
	if err != nil {
		return key{}, fmt.Errorf("cannot read the key: %v", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return key{}, fmt.Errorf("cannot read the key: %v", err)
	}
	k, err := newKey(raw)
	if err != nil {
		return key{}, fmt.Errorf("cannot use %s: it does not hold %d bytes; put the key back from a copy", path, keySize)
	}
	return k, nil
}

// checkKeyFile refuses a key file that others could read or could have made. It is content if there is none.
func checkKeyFile(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at the key file: %v", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot use %s: it is not an ordinary file; put the key itself in its place", path)
	}
	return checkOwner(path, info)
}

// create makes the key file, whole and durable or not at all, and never in place of one that is there: a link,
// unlike a rename, fails then.
func (p keyPlaces) create() error {
	raw := make([]byte, keySize)
	rand.Read(raw)
	dir := filepath.Dir(p.file)
	temp, err := writeTemp(dir, raw)
	if err == nil {
		defer os.Remove(temp)
		err = os.Link(temp, p.file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("cannot make the key file: %v", err)
	}
	return nil
}
