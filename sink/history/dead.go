package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// deadLetter is one line of the file of dead letters: a row that ClickHouse does not want, or bytes that are no row. Whoever mends
// a row may edit its line; replaying takes what stands there.
type deadLetter struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
	Table string    `json:"table,omitempty"`

	Conv    string `json:"conv,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Prev    uint64 `json:"prev,omitempty"`
	TimeMS  uint64 `json:"time_ms,omitempty"`
	Sender  string `json:"sender,omitempty"`
	ID      string `json:"id,omitempty"`
	Kind    uint8  `json:"kind,omitempty"`
	Text    string `json:"text,omitempty"` // of the body, for whoever reads the file
	Body    []byte `json:"body,omitempty"` // msgpack; base64 in JSON
	Version uint64 `json:"version,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`

	Frames []byte `json:"frames,omitempty"` // instead of all from Conv on, but Version: bytes of which no row could be made
}

func deadRow(table string, r *Row, err error) deadLetter {
	d := deadLetter{
		Time: time.Now().UTC(), Error: err.Error(), Table: table,
		Conv: r.Conv.String(), Seq: r.Seq, Prev: r.Prev, TimeMS: r.TimeMS, Sender: string(r.Sender),
		Kind: uint8(r.Kind), Body: bytes.Clone(r.Body), Version: r.Version, Deleted: r.Deleted,
	}
	if !r.ID.IsZero() {
		d.ID = r.ID.String()
	}
	if text, ok := frame.Text(r.Body); ok {
		d.Text = string(text)
	}
	return d
}

func deadFrame(frames []byte, version uint64, err error) deadLetter {
	return deadLetter{Time: time.Now().UTC(), Error: err.Error(), Frames: bytes.Clone(frames), Version: version}
}

// row is the inverse of deadRow.
func (d *deadLetter) row() (r Row, err error) {
	if d.Frames != nil {
		return Row{}, errors.New("history: these bytes are not a message")
	}
	r = Row{
		Seq: d.Seq, Prev: d.Prev, TimeMS: d.TimeMS, Sender: []byte(d.Sender),
		Kind: frame.Kind(d.Kind), Body: d.Body, Version: d.Version, Deleted: d.Deleted,
	}
	if r.Conv, err = frame.ParseID(d.Conv); err != nil {
		return Row{}, fmt.Errorf("history: conv: %w", err)
	}
	if d.ID != "" {
		if r.ID, err = frame.ParseID(d.ID); err != nil {
			return Row{}, fmt.Errorf("history: id: %w", err)
		}
	}
	return r, r.check()
}

// deadFile is the file of dead letters. It is opened for each write, because a replay may take it away meanwhile. Safe for use by several
// processes.
type deadFile struct{ path string }

// append adds letters and returns when they are on the disk.
func (f deadFile) append(letters []deadLetter) (err error) {
	if len(letters) == 0 {
		return nil
	}
	var lines bytes.Buffer
	for i := range letters {
		line, err := json.Marshal(&letters[i])
		if err != nil {
			return fmt.Errorf("history: a dead letter does not encode: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	file, err := f.lock()
	if err != nil {
		return fmt.Errorf("history: cannot write dead letters: %w: make %s a file that the server may write", err, f.path)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return f.write(file, lines.Bytes())
}

// write puts lines behind what the file has. A line that a crash cut off is ended first, so that it spoils no other.
func (f deadFile) write(file *os.File, lines []byte) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 {
		var last [1]byte
		if _, err := file.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if _, err := file.Write(lines); err != nil {
		return fmt.Errorf("history: cannot write dead letters: %w: make room for %s", err, f.path)
	}
	return errors.Join(file.Sync(), syncDir(filepath.Dir(f.path)))
}

// lock opens the file, creates it if need be, and keeps other processes from it until it is closed.
func (f deadFile) lock() (*os.File, error) {
	for {
		file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		mine, err1 := file.Stat()
		now, err2 := os.Stat(f.path)
		if err1 == nil && err2 == nil && os.SameFile(mine, now) {
			return file, nil
		}
		if err := errors.Join(err1, file.Close()); err != nil { // a replay took the file away before it was locked
			return nil, err
		}
	}
}

// take moves the file away, so that what it holds can be replayed while others append to a new one.
func (f deadFile) take(to string) error {
	file, err := f.lock()
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(f.path, to), syncDir(filepath.Dir(f.path)), file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
