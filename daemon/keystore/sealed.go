package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const (
	sealedSuffix = ".sealed"
	probeSize    = 256 // a token's record has about as many bytes
)

// sealed keeps each item in a file of its own, encrypted. It is a backend: one call at a time.
type sealed struct {
	dir    string // of the records
	places keyPlaces
	log    *slog.Logger

	found foundKeys
	// census is the number of records by the key that sealed them, when they were last counted, less those deleted
	// since. Of keys that seal no more it is exact.
	census map[keyID]int
}

// openSealed opens the records in the state directory. What is wrong with keys and records does not keep it from
// opening: status says it.
func openSealed(o Options) (*sealed, error) {
	s := &sealed{dir: recordsDir(o.Dir), places: newKeyPlaces(o.Dir, o.CredentialsDir), log: o.Log}
	s.places.trouble = o.Trouble
	s.found = s.places.find()
	if err := s.count(); err != nil {
		return nil, err
	}
	if _, err := s.sealing(); err != nil {
		s.log.Warn("the keystore cannot seal", "error", err)
	}
	s.reseal()
	return s, nil
}

func recordsDir(stateDir string) string { return filepath.Join(stateDir, "keystore") }

// sealing returns the keys, the first of which seals. It looks again where there was none, and makes the key file
// if that loses nothing: no key file is there, and no record waits for a key that is missing.
func (s *sealed) sealing() (keys, error) {
	if ks := s.found.keys(); len(ks) > 0 {
		return ks, nil
	}
	s.found = s.places.find()
	if ks := s.found.keys(); len(ks) > 0 {
		return ks, nil
	}
	if s.found.fileErr != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, s.found.fileErr)
	}
	if err := s.count(); err != nil {
		return nil, err
	}
	if len(s.census) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, s.missing())
	}
	if err := s.places.create(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	s.log.Info("made a key file for the keystore", "path", s.places.file)
	s.found = s.places.find()
	return s.found.keys(), nil
}

// count takes the census.
func (s *sealed) count() error {
	keys, err := s.list()
	if err != nil {
		return err
	}
	s.census = map[keyID]int{}
	for _, key := range keys {
		if id, err := s.recordKey(key); err == nil {
			s.census[id]++
		}
	}
	return nil
}

// recordKey reads from a record's header which key sealed it.
func (s *sealed) recordKey(key string) (keyID, error) {
	f, err := os.Open(s.path(key))
	if err != nil {
		return keyID{}, s.fileError(err)
	}
	defer f.Close()
	header := make([]byte, headerSize)
	n, err := io.ReadFull(f, header)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return keyID{}, s.fileError(err)
	}
	return sealedBy(header[:n])
}

// reseal seals anew what another key than the preferred one has sealed. What fails stays as it is.
func (s *sealed) reseal() {
	ks := s.found.keys()
	if len(ks) < 2 || s.census[ks[1].id] == 0 {
		return
	}
	list, err := s.list()
	if err != nil {
		return
	}
	moved := 0
	for _, key := range list {
		if id, err := s.recordKey(key); err != nil || id != ks[1].id {
			continue
		}
		item, err := s.get(key)
		if err == nil {
			err = s.put(item)
		}
		if err != nil {
			s.log.Warn("cannot seal a record with the preferred key", "key", key, "error", err)
			continue
		}
		moved++
	}
	s.log.Info("sealed records with the preferred key", "records", moved, "key", ks[0].id)
	s.count()
}

func (s *sealed) put(item Item) error {
	ks, err := s.sealing()
	if err != nil {
		return err
	}
	// A record whose key is missing may be a good token still.
	switch id, err := s.recordKey(item.Key); {
	case err == nil && !ks.has(id):
		if s.found = s.places.find(); !s.found.keys().has(id) {
			return fmt.Errorf("%w: the record that is there is sealed by key %s, which is not at hand", ErrUnavailable, id)
		}
	case errors.Is(err, ErrUnavailable):
		return err
	}
	data, err := ks.seal(recordName(item.Key), encodeItem(item))
	if err != nil {
		return err
	}
	return s.fileError(writeFile(s.dir, fileName(item.Key), data))
}

func (s *sealed) get(key string) (Item, error) {
	data, err := os.ReadFile(s.path(key))
	if err != nil {
		return Item{}, s.fileError(err)
	}
	plain, err := s.found.keys().open(recordName(key), data)
	if errors.Is(err, ErrUnavailable) {
		s.found = s.places.find()
		plain, err = s.found.keys().open(recordName(key), data)
	}
	if err != nil {
		return Item{}, err
	}
	return decodeItem(key, plain)
}

func (s *sealed) delete(key string) error {
	id, idErr := s.recordKey(key)
	err := s.fileError(os.Remove(s.path(key)))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if idErr == nil && s.census[id] > 0 {
		if s.census[id]--; s.census[id] == 0 {
			delete(s.census, id)
		}
	}
	return s.fileError(syncDir(s.dir))
}

func (s *sealed) list() ([]string, error) {
	names, err := fileNames(s.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	list := make([]string, 0, len(names))
	for _, name := range names {
		if key, ok := keyOf(name); ok {
			list = append(list, key)
		}
	}
	return list, nil
}

func (s *sealed) probe() error {
	if _, err := s.sealing(); err != nil {
		return err
	}
	const name = ".keystore-probe.tmp"
	if err := writeFile(s.dir, name, make([]byte, probeSize)); err != nil {
		return s.fileError(err)
	}
	return s.fileError(os.Remove(filepath.Join(s.dir, name)))
}

func (s *sealed) keys(create bool) (keys, error) {
	if create {
		return s.sealing()
	}
	s.found = s.places.find()
	return s.found.keys(), nil
}

// fileError tells a record that is not there from a directory that is not there, and from all other trouble.
func (s *sealed) fileError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, dirErr := os.Stat(s.dir); dirErr == nil {
			return ErrNotFound
		}
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err)
}

func (s *sealed) path(key string) string { return filepath.Join(s.dir, fileName(key)) }

// recordName is what a record is bound to.
func recordName(key string) string { return "item/" + key }

// fileName writes a key so that every file system takes it and tells it from others.
func fileName(key string) string { return escape(key) + sealedSuffix }

// escape writes a key so that also those who take "A" for "a" tell it from others: what is not a small letter, a digit
// or a hyphen becomes %XX.
func escape(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// keyOf is the reverse of fileName; files that it did not name are not ours.
func keyOf(name string) (string, bool) {
	escaped, ok := strings.CutSuffix(name, sealedSuffix)
	if !ok {
		return "", false
	}
	return unescape(escaped)
}

func unescape(escaped string) (string, bool) {
	key, err := url.PathUnescape(escaped)
	return key, err == nil && escape(key) == escaped && checkKey(key) == nil
}

func (s *sealed) status() Status {
	st := Status{Healthy: true}
	f := s.found
	switch {
	case f.credential.aead != nil:
		st.Key = "systemd credential " + keyName
	case f.file.aead != nil:
		st.Key = "key file " + s.places.file
	default:
		st.Key = "no key at hand"
		st.Healthy = false
	}
	if f.credentialErr != nil {
		st.Detail = join(st.Detail, "the systemd credential is set aside: "+f.credentialErr.Error())
	}
	if f.fileErr != nil {
		st.Detail = join(st.Detail, "the key file is set aside: "+f.fileErr.Error())
	}
	if missing := s.missing(); missing != "" {
		st.Healthy = false
		st.Detail = join(st.Detail, missing)
	}
	if f.credential.aead != nil && f.file.aead != nil && (f.file.id == f.credential.id || s.census[f.file.id] == 0) {
		st.Detail = join(st.Detail, "no record needs the key file "+s.places.file+" any more: it may be removed")
	}
	return st
}

// missing says which records wait for which keys; "" if none do.
func (s *sealed) missing() string {
	text, ks := "", s.found.keys()
	for id, n := range s.census {
		if !ks.has(id) {
			text = join(text, fmt.Sprintf("%d records are sealed by key %s, which is not at hand: bring it back as the systemd credential %s "+
				"or the file %s, or give these tokens up with profitctl reset --all", n, id, keyName, s.places.file))
		}
	}
	return text
}
