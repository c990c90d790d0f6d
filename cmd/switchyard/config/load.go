package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile bounds the configuration file.
const maxFile = 1 << 20

// Setting is a value given by a flag.
type Setting struct {
	Flag string // as the operator wrote it: --listen
	Path string // server.listen
	Text string // a list: its elements, separated by commas
}

// Sources is where values come from, from the weakest to the strongest.
type Sources struct {
	File  string   // the YAML file; empty: none
	Env   []string // as os.Environ returns it
	Flags []Setting
	Dev   bool // development mode, which needs no configured key
}

// Loaded is a Config with the origin of each value.
type Loaded struct {
	Config
	Origins map[string]Origin // by path
}

// loader collects options and problems while the sources are read, weakest first.
type loader struct {
	sections []*section
	options  map[string]*option // by path
	problems Problems
}

// Load reads all sources and checks the result. The error is Problems.
func Load(src Sources) (*Loaded, error) {
	loaded := &Loaded{Origins: map[string]Origin{}}
	l := newLoader(&loaded.Config)
	l.loadFile(src.File)
	l.loadEnv(src.Env)
	l.loadFlags(src.Flags)
	for path, o := range l.options {
		loaded.Origins[path] = o.origin
	}
	if len(l.problems) == 0 {
		l.problems = loaded.check(src.Dev)
	}
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return loaded, nil
}

// Default returns the configuration of an empty file.
func Default() Config {
	var c Config
	newLoader(&c)
	return c
}

func newLoader(c *Config) *loader {
	l := &loader{sections: walk(c), options: map[string]*option{}}
	for _, s := range l.sections {
		for _, o := range s.options {
			l.options[o.path] = o
			l.setDefault(o)
		}
	}
	return l
}

func (l *loader) setDefault(o *option) {
	o.origin = fromDefault
	if o.isList() {
		return
	}
	if err := o.set(o.def); err != nil {
		panic(fmt.Sprintf("BUG: the default of %s %v", o.path, err))
	}
}

// set gives an option a value, or notes why it cannot have it.
func (l *loader) set(o *option, origin Origin, texts ...string) {
	if err := o.set(texts...); err != nil {
		l.problems.add(origin, o.path, "%q %v", texts[0], err)
		return
	}
	o.origin = origin
}

func (l *loader) loadFile(path string) {
	if path == "" {
		return
	}
	data, err := readFile(path)
	if err != nil {
		l.problems.add(Origin(path), "", "%v", err)
		return
	}
	l.loadYAML(path, data)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New(`cannot be read: ` + errors.Unwrap(err).Error() + `; "switchyard config default" prints a file to start from`)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errors.New("is larger than 1 MiB, so it is not a configuration file")
	}
	return data, err
}

// loadEnv takes every variable with our prefix, so that a misspelt one does not pass in silence. The variables that
// Kubernetes makes for a service that is called switchyard are not ours.
func (l *loader) loadEnv(env []string) {
	byName := map[string]*option{}
	var names []string
	for _, o := range l.options {
		byName[o.env()] = o
		names = append(names, o.env())
	}
	for _, entry := range env {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == EnvPrefix+"CONFIG" || fromKubernetes(name) {
			continue
		}
		if o := byName[name]; o != nil {
			l.set(o, Origin(name), o.split(text)...)
		} else {
			l.problems.add(Origin(name), "", "no option has this name%s", didYouMean(name, names))
		}
	}
}

func fromKubernetes(name string) bool {
	return strings.HasPrefix(name, EnvPrefix+"SERVICE_") || strings.HasPrefix(name, EnvPrefix+"PORT")
}

func (l *loader) loadFlags(flags []Setting) {
	for _, f := range flags {
		if o := l.options[f.Path]; o != nil {
			l.set(o, Origin(f.Flag), o.split(f.Text)...)
		} else {
			l.problems.add(Origin(f.Flag), f.Path, "no option has this name%s", didYouMean(f.Path, l.paths()))
		}
	}
}

func (l *loader) paths() []string {
	var paths []string
	for p := range l.options {
		paths = append(paths, p)
	}
	return paths
}

// split cuts the text of a variable or a flag into the elements of a list; an empty text is an empty list.
func (o *option) split(text string) []string {
	if !o.isList() {
		return []string{text}
	}
	var elements []string
	for e := range strings.SplitSeq(text, ",") {
		if e = strings.TrimSpace(e); e != "" {
			elements = append(elements, e)
		}
	}
	return elements
}
