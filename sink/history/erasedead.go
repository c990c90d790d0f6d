package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// erase takes a user out of the file. Whoever appends waits meanwhile. A replay under way has letters of its own: then it fails.
func (f deadFile) erase(e *erasure) (changed int, err error) {
	if _, err := os.Stat(f.path + replayingSuffix); err == nil {
		return 0, fmt.Errorf("history: %s%s is there, so a replay of dead letters is under way or was interrupted: run switchyard history replay-dead, then this again", f.path, replayingSuffix)
	}
	if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	file, err := f.lock()
	if err != nil {
		return 0, fmt.Errorf("history: cannot erase from the dead letters: %w: make %s a file that the server may write", err, f.path)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	letters, changed, err := f.without(e)
	if err != nil || changed == 0 {
		return 0, err
	}
	return changed, f.replace(letters)
}

// count counts the letters that have something of a user.
func (f deadFile) count(e *erasure) (n int, err error) {
	if _, n, err = f.without(e); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return n, err
}

// without reads the letters and erases a user from them; the file stays as it is.
func (f deadFile) without(e *erasure) (letters []deadLetter, changed int, err error) {
	if letters, err = readDead(f.path); err != nil {
		return nil, 0, err
	}
	for i := range letters {
		if e.letter(&letters[i]) {
			changed++
		}
	}
	return letters, changed, nil
}

// replace puts letters in place of all; the file is locked.
func (f deadFile) replace(letters []deadLetter) error {
	var lines bytes.Buffer
	for i := range letters {
		line, err := json.Marshal(&letters[i])
		if err != nil {
			return fmt.Errorf("history: a dead letter does not encode: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	next := f.path + ".erasing"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(lines.Bytes())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("history: cannot write dead letters: %w: make room for %s", err, next)
	}
	return errors.Join(os.Rename(next, f.path), syncDir(filepath.Dir(f.path)))
}
