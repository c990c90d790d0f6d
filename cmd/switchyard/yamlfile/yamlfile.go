// Package yamlfile reads the files that stand beside the configuration: routing, keys of applications, canned replies, notifications.
package yamlfile

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/goccy/go-yaml"
)

// max bounds a file, in bytes; thousands of groups fit.
const max = 1 << 20

// Read reads a file into a struct. A key that the struct does not have is an error, which names the place, as is a file of more than 1 MiB; one of nothing but
// comments leaves the struct as it is.
func Read(name string, into any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, max+1))
	switch {
	case err != nil:
		return err
	case len(text) > max:
		return errors.New("it is longer than 1 MiB; name another file")
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return errors.New(yaml.FormatError(err, false, false)) // not the lines, which may hold secrets
	}
	return nil
}
