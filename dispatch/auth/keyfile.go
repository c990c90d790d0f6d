package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile bounds what is read from a key file.
const maxKeyFile = 16 << 10

// LoadKey reads a key file (see ParseKey). Errors name the file, never its content.
func LoadKey(id, path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("auth: cannot read the key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Key{}, fmt.Errorf("auth: cannot read the key: %w", err)
	}
	if len(text) > maxKeyFile {
		return Key{}, fmt.Errorf("auth: %s is larger than 16 KiB, so it is not a key file", path)
	}
	key, err := ParseKey(id, text)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// LoadOrCreateKey reads the key file, or makes it with a random HS256 secret if it does not exist (mode 0600, complete or
// not there at all, even if two processes do it at once). created tells which.
func LoadOrCreateKey(id, path string) (key Key, created bool, err error) {
	key, err = LoadKey(id, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	_, text := GenerateKey(id)
	created, err = createFile(path, text)
	if err != nil {
		return Key{}, false, fmt.Errorf("auth: cannot make a key: %w", err)
	}
	key, err = LoadKey(id, path)
	return key, created, err
}

// createFile writes a temporary file and links it into place, so that a reader never sees half of it. False: another
// process was first.
func createFile(path string, text []byte) (bool, error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return false, err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	} else if err != nil {
		return false, nil
	}
	return true, nil
}

// ReadableByOthers tells whether users outside the file's owner and group may read it: a secret should be 0600 or 0640.
func ReadableByOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
