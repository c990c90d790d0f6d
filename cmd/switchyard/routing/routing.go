// Package routing reads the file that says how each group's conversations are assigned. It is a file of its own because its keys are the
// names of groups; the options of the server have fixed names.
package routing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/desk"
)

// maxFile bounds the file; thousands of groups fit.
const maxFile = 1 << 20

// Groups is what the file says.
type Groups struct {
	Default dispatch.GroupConfig            // of those that are not named
	Named   map[string]dispatch.GroupConfig //
}

// file is the form of the file.
type file struct {
	Default group            `yaml:"default"`
	Groups  map[string]group `yaml:"groups"`
}

type group struct {
	Strategy string          `yaml:"strategy"`
	Sticky   config.Duration `yaml:"sticky"`
}

// Load reads the file; an empty name means no file, and then every group has the defaults.
func Load(name string) (Groups, error) {
	if name == "" {
		return Groups{}, nil
	}
	text, err := read(name)
	if err != nil {
		return Groups{}, fmt.Errorf("routing.file: %w", err)
	}
	g, err := parse(text)
	if err != nil {
		return Groups{}, fmt.Errorf("routing.file: %s: %w", name, err)
	}
	return g, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is longer than 1 MiB", name)
	}
	return text, err
}

func parse(text []byte) (Groups, error) {
	var f file
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&f); err != nil && !errors.Is(err, io.EOF) { // io.EOF: nothing but comments
		return Groups{}, errors.New(yaml.FormatError(err, false, true))
	}
	g := Groups{Default: f.Default.config(), Named: make(map[string]dispatch.GroupConfig, len(f.Groups))}
	for name, one := range f.Groups {
		g.Named[name] = one.config()
	}
	return g, (&dispatch.Config{Loops: 1, Groups: g.Named, DefaultGroup: g.Default}).Validate()
}

func (g group) config() dispatch.GroupConfig {
	return dispatch.GroupConfig{Strategy: desk.Strategy(g.Strategy), Sticky: time.Duration(g.Sticky)}
}
