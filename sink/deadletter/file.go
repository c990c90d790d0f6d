// Package deadletter keeps what could not be delivered in a file of JSON lines, where a person can read it, mend it, and have it replayed.
package deadletter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File is a file of dead letters of type T, one in each line. It is opened for each write, because a replay may take it away meanwhile. Safe for
// use by several goroutines and processes.
type File[T any] struct{ Path string }

// replaying is what the name of the file has while it is replayed.
const replaying = ".replaying"

// Append adds letters and returns when they are on the disk.
func (f File[T]) Append(letters []T) (err error) {
	if len(letters) == 0 {
		return nil
	}
	var lines bytes.Buffer
	for i := range letters {
		line, err := json.Marshal(&letters[i])
		if err != nil {
			return fmt.Errorf("deadletter: a dead letter does not encode: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	file, err := f.lock()
	if err != nil {
		return fmt.Errorf("deadletter: cannot write dead letters: %w: make %s a file that the server may write", err, f.Path)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return f.write(file, lines.Bytes())
}

// write puts lines behind what the file has. A line that a crash cut off is ended first, so that it spoils no other.
func (f File[T]) write(file *os.File, lines []byte) error {
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
		return fmt.Errorf("deadletter: cannot write dead letters: %w: make room for %s", err, f.Path)
	}
	return errors.Join(file.Sync(), syncDir(filepath.Dir(f.Path)))
}

// lock opens the file, creates it if need be, and keeps other processes from it until it is closed.
func (f File[T]) lock() (*os.File, error) {
	for {
		file, err := os.OpenFile(f.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		mine, err1 := file.Stat()
		now, err2 := os.Stat(f.Path)
		if err1 == nil && err2 == nil && os.SameFile(mine, now) {
			return file, nil
		}
		if err := errors.Join(err1, file.Close()); err != nil { // a replay took the file away before it was locked
			return nil, err
		}
	}
}

// Take moves the file away to be replayed, while others append to a new one, and returns where it is; "" if there is none. What an interrupted
// replay took and did not Finish comes first.
func (f File[T]) Take() (path string, err error) {
	taken := f.Path + replaying
	if _, err := os.Stat(taken); !errors.Is(err, fs.ErrNotExist) {
		return taken, err
	}
	if _, err := os.Stat(f.Path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	file, err := f.lock()
	if err == nil {
		err = errors.Join(os.Rename(f.Path, taken), syncDir(filepath.Dir(f.Path)), file.Close())
	}
	if err != nil {
		return "", fmt.Errorf("deadletter: cannot take the dead letters: %w: check who owns %s", err, f.Path)
	}
	return taken, nil
}

// Finish removes what was taken; nothing of it is a dead letter any more.
func (f File[T]) Finish(taken string) error {
	return errors.Join(os.Remove(taken), syncDir(filepath.Dir(taken)))
}

// Each calls fn with each line of a file: the letter, or the line itself if it is none. It ends with the first error of fn.
func (f File[T]) Each(path string, fn func(letter T, broken []byte) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("deadletter: cannot read the dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for in := bufio.NewReader(file); ; {
		line, end := in.ReadBytes('\n')
		if len(line) > 1 {
			var letter T
			broken := line
			if json.Unmarshal(line, &letter) == nil {
				broken = nil
			}
			if err := fn(letter, broken); err != nil {
				return err
			}
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return fmt.Errorf("deadletter: cannot read the dead letters: %w", end)
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
