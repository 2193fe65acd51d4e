package enrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// record is all that is remembered of an entry, on disk before it is acted upon. It holds no secret. A record is
// never changed: each change makes a new one.
type record struct {
	About
	Status

	BaseURL    string    `json:"base_url,omitzero"`
	Revision   string    `json:"revision,omitzero"`
	OnRequest  bool      `json:"on_request,omitzero"`
	OrphanedAt time.Time `json:"orphaned_at,omitzero"`

	Generation uint64 `json:"generation"`       // of the enrolment that is, or was last, under way
	Floor      uint64 `json:"floor,omitzero"`   // nothing of a generation below is served or kept
	Holds      uint64 `json:"holds,omitzero"`   // generation of the token in the keystore; 0: none
	Refused    bool   `json:"refused,omitzero"` // Profit has refused that token: it is not served

	Sending       bool        `json:"sending,omitzero"` // a request for a code is under way
	Spreading     bool        `json:"spreading,omitzero"`
	Failures      int         `json:"failures,omitzero"`   // in a row, for the back-off
	NotBefore     time.Time   `json:"not_before,omitzero"` // Profit has asked for patience until then
	LastAutomatic time.Time   `json:"last_automatic,omitzero"`
	Asked         []time.Time `json:"asked,omitzero"` // mails asked for in the last hour
}

// on applies an event of the table; false means that it cannot happen in this state, and nothing is changed.
// Each arrival in requesting begins a new generation.
func (r *record) on(ev event, now time.Time) bool {
	to := next(r.State, ev, r.OnRequest && r.RequestedBy == "")
	if to == never {
		return false
	}
	arrives := to != r.State || ev == reset || ev == resetIdle
	if !arrives {
		return true
	}
	r.State, r.Since = to, now
	r.Sending, r.Spreading = false, false
	switch to {
	case Requesting:
		r.Generation++
		r.Attempts, r.Failures = 0, 0
		if isTrouble(r.Reason) {
			r.Reason = ReasonNew
		}
		r.Mail, r.LogReference, r.Message, r.ActivatedBy = "", "", "", ""
		r.NextAttemptAt = now
	case Idle, Active:
		r.NextAttemptAt, r.Mail = time.Time{}, ""
	case AwaitingCode, Validating, Storing:
		r.NextAttemptAt = time.Time{}
	}
	return true
}

// isNew tells whether nothing has ever been asked of Profit for the entry.
func (r *record) isNew() bool { return r.State == Idle && r.Generation == 0 }

// served tells whether the token in the keystore may be handed out.
func (r *record) served() bool {
	return r.Holds != 0 && r.Holds >= r.Floor && !r.Refused && r.OrphanedAt.IsZero()
}

// Journal keeps the records on disk: one bbolt file, whose transactions are durable when they return and whose lock
// keeps a second service off the same state directory. OpenJournal makes one; New takes it over.
type Journal struct {
	db      *bbolt.DB
	records map[string]*record // as found; New empties it
}

var recordsBucket = []byte("records")

// OpenJournal opens or creates the file in the state directory. A file that is no longer one is set aside, not
// deleted: the tokens do not depend on it, and an entry that has none yet is enrolled anew.
func OpenJournal(dir string, log *slog.Logger) (*Journal, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	path := filepath.Join(dir, "enrolments.db")
	db, records, err := readJournal(path)
	if damaged := (*damagedError)(nil); errors.As(err, &damaged) {
		aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("cannot set the damaged record %s aside: %w", path, err)
		}
		log.Error("the record of enrolments is damaged and was set aside; entries without a stored token ask for a new code",
			"file", aside, "error", damaged.cause)
		db, records, err = readJournal(path)
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("cannot use the state directory %s: another profitd is using it", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the record of enrolments %s: %w", path, err)
	}
	return &Journal{db, records}, nil
}

// damagedError says that the file is there and is not what was written.
type damagedError struct{ cause any }

func (e *damagedError) Error() string { return fmt.Sprintf("damaged: %v", e.cause) }

func readJournal(path string) (db *bbolt.DB, records map[string]*record, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // bbolt reads beyond the end of a file that is cut short
	var opened *os.File
	defer func() { // and it panics on pages that contradict each other, also while it opens
		if cause := recover(); cause != nil {
			err = &damagedError{cause}
		}
		switch {
		case err == nil:
		case db != nil:
			db.Close()
		case opened != nil:
			opened.Close() // Windows moves no file aside that is open
		}
	}()
	open := func(path string, flag int, mode os.FileMode) (file *os.File, err error) {
		opened, err = os.OpenFile(path, flag, mode)
		return opened, err
	}
	if file, err := os.Stat(path); err == nil && file.Size() > 0 && file.Size() < int64(2*os.Getpagesize()) {
		return nil, nil, &damagedError{"it is cut short"}
	}
	options := bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, OpenFile: open}
	db, err = bbolt.Open(path, 0o600, &options)
	switch {
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch), errors.Is(err, bbolterrors.ErrChecksum):
		return nil, nil, &damagedError{err}
	case err != nil:
		return nil, nil, err
	}
	records, read, err := readRecords(db)
	if err != nil || read.size < reopenAbove {
		return db, records, err
	}
	// What has been read stays mapped, and so in memory, as long as the file is open.
	err = db.Close()
	if db = nil; err != nil {
		return nil, nil, err
	}
	db, err = bbolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, nil, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.ID() != read.id {
			return errors.New("another profitd has just used it; stop that one")
		}
		return nil
	})
	return db, records, err
}

// reopenAbove is the size of a file that is worth opening twice, in bytes.
const reopenAbove = 1 << 20

// version tells one content of the file from another.
type version struct {
	id   int   // of the last transaction
	size int64 // of the file
}

func readRecords(db *bbolt.DB) (records map[string]*record, read version, err error) {
	records = map[string]*record{}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(recordsBucket)
		return err
	})
	if err != nil {
		return nil, version{}, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		read = version{tx.ID(), tx.Size()}
		return tx.Bucket(recordsBucket).ForEach(func(key, value []byte) error {
			r := new(record)
			if err := json.Unmarshal(value, r); err != nil {
				return &damagedError{err}
			}
			records[string(key)] = r
			return nil
		})
	})
	return records, read, err
}

// put makes records durable, all or none; a nil record is deleted.
func (j *Journal) put(records map[string]*record) error {
	if len(records) == 0 {
		return nil
	}
	return j.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(recordsBucket)
		for key, r := range records {
			if r == nil {
				if err := bucket.Delete([]byte(key)); err != nil {
					return err
				}
				continue
			}
			value, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if err := bucket.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close lets go of the state directory.
func (j *Journal) Close() error { return j.db.Close() }
