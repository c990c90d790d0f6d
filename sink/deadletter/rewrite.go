package deadletter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrReplaying is what Rewrite ends with while letters are being replayed, or after a replay that was interrupted: they are in a file of their own.
var ErrReplaying = errors.New("deadletter: a replay of dead letters is under way or was interrupted")

// Rewrite puts the letters that fn returns in the place of all, if fn tells that it changed any. Whoever appends waits meanwhile. Without a file it
// does nothing.
func (f File[T]) Rewrite(fn func() (letters []T, changed bool, err error)) (err error) {
	if _, err := os.Stat(f.Path + replaying); err == nil {
		return ErrReplaying
	}
	if _, err := os.Stat(f.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := f.lock()
	if err != nil {
		return fmt.Errorf("deadletter: cannot write dead letters: %w: make %s a file that the server may write", err, f.Path)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	letters, changed, err := fn()
	if err != nil || !changed {
		return err
	}
	return f.replace(letters)
}

// replace makes a new file; the old one is locked.
func (f File[T]) replace(letters []T) error {
	var lines bytes.Buffer
	for i := range letters {
		line, err := json.Marshal(&letters[i])
		if err != nil {
			return fmt.Errorf("deadletter: a dead letter does not encode: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	next := f.Path + ".rewriting"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(lines.Bytes())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("deadletter: cannot write dead letters: %w: make room for %s", err, next)
	}
	return errors.Join(os.Rename(next, f.Path), syncDir(filepath.Dir(f.Path)))
}
