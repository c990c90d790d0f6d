// Package plan reads the file of a mixed run: which scenarios run beside each other, from when, and with which options. It knows how a file is built, and
// not which options there are: those are the flags of the command line.
package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds of a file.
const (
	MaxBytes = 1 << 20
	MaxLoads = 100
)

// File is a mixed run.
type File struct {
	Options []Option // of the run, or of every load that has such an option
	Loads   []Load   // in the order of the file
}

// Load is one part of it.
type Load struct {
	Name     string
	Scenario string
	Start    time.Duration // since the beginning of the run
	Options  []Option
	Line     int
}

// Option is a flag of a command by another way.
type Option struct {
	Name   string
	Values []string // one, or several of a list
	Line   int
}

// Args are the words of a command line.
func (o *Option) Args() (args []string) {
	for _, v := range o.Values {
		args = append(args, "--"+o.Name+"="+v)
	}
	return args
}

// Error is a mistake in a file.
type Error struct {
	Line int
	Text string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

func mistake(line int, format string, args ...any) error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

func lineOf(n ast.Node) int { return n.GetToken().Position.Line }

// Parse reads a file. The error of a mistake names its line.
func Parse(text []byte) (*File, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("it is longer than %d MiB", MaxBytes>>20)
	}
	docs, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if len(docs.Docs) == 0 || docs.Docs[0].Body == nil {
		return nil, errors.New("it is empty")
	}
	if len(docs.Docs) > 1 {
		return nil, mistake(lineOf(docs.Docs[1].Body), "a second document; one file is one run")
	}
	pairs, err := mapping(docs.Docs[0].Body)
	if err != nil {
		return nil, err
	}
	var f File
	for _, p := range pairs {
		if p.key == "loads" {
			if f.Loads, err = loads(p.value); err != nil {
				return nil, err
			}
			continue
		}
		o, err := option(p)
		if err != nil {
			return nil, err
		}
		f.Options = append(f.Options, o)
	}
	if len(f.Loads) == 0 {
		return nil, errors.New("it has no loads: list them under the key loads, each with its scenario")
	}
	return &f, nil
}

// pair is a key with its value.
type pair struct {
	key   string
	line  int
	value ast.Node
}

func mapping(n ast.Node) (pairs []pair, err error) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil, mistake(lineOf(n), "%q stands where options should, as in `pairs: 100`", n.GetToken().Value)
	}
	for _, v := range m.Values {
		key, ok := v.Key.(ast.ScalarNode)
		if !ok {
			return nil, mistake(lineOf(v), "a key must be a name")
		}
		pairs = append(pairs, pair{fmt.Sprint(key.GetValue()), lineOf(v.Key), v.Value})
	}
	return pairs, nil
}

func loads(n ast.Node) (all []Load, err error) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, mistake(lineOf(n), "loads is a list, each of them with a scenario")
	}
	if len(list.Values) > MaxLoads {
		return nil, mistake(lineOf(n), "%d loads are too many, use at most %d", len(list.Values), MaxLoads)
	}
	names := map[string]bool{}
	for _, v := range list.Values {
		l, err := load(v)
		if err != nil {
			return nil, err
		}
		if names[l.Name] {
			return nil, mistake(l.Line, "a second load with the name %q: give it another one", l.Name)
		}
		names[l.Name] = true
		all = append(all, l)
	}
	return all, nil
}

func load(n ast.Node) (l Load, err error) {
	pairs, err := mapping(n)
	if err != nil {
		return l, err
	}
	l.Line = lineOf(n)
	if len(pairs) > 0 {
		l.Line = pairs[0].line
	}
	for _, p := range pairs {
		switch p.key {
		case "name":
			l.Name, err = name(p)
		case "scenario":
			l.Scenario, err = scalar(p)
		case "start":
			l.Start, err = start(p)
		default:
			var o Option
			o, err = option(p)
			l.Options = append(l.Options, o)
		}
		if err != nil {
			return l, err
		}
	}
	if l.Scenario == "" {
		return l, mistake(l.Line, "a load needs a scenario, as in `scenario: chat`")
	}
	if l.Name == "" {
		l.Name = l.Scenario
	}
	return l, nil
}

// name is one that can be a part of a figure's name.
func name(p pair) (string, error) {
	text, err := scalar(p)
	if err == nil && (text == "" || len(text) > 40 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != "") {
		err = mistake(p.line, "the name %q is not one of at most 40 small letters, digits and _", text)
	}
	return text, err
}

func start(p pair) (time.Duration, error) {
	text, err := scalar(p)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, mistake(p.line, "%q is no start, give a duration as in 90s", text)
	}
	return d, nil
}

func scalar(p pair) (string, error) {
	if _, null := p.value.(*ast.NullNode); null {
		return "", mistake(p.line, "%s has no value", p.key)
	}
	v, ok := p.value.(ast.ScalarNode)
	if !ok {
		return "", mistake(p.line, "%s takes one value", p.key)
	}
	switch v := v.(type) {
	case *ast.IntegerNode, *ast.FloatNode: // as written: 1_000 and 0x10 are for the flag to judge
		return v.GetToken().Value, nil
	default:
		return fmt.Sprint(v.GetValue()), nil
	}
}

// option takes a value, a list of values, or a ramp: a list of points, each with the key at and one more.
func option(p pair) (Option, error) {
	o := Option{Name: p.key, Line: p.line}
	list, isList := p.value.(*ast.SequenceNode)
	if !isList {
		text, err := scalar(p)
		o.Values = []string{text}
		return o, err
	}
	if len(list.Values) == 0 {
		return o, mistake(p.line, "%s has no value", p.key)
	}
	var points []string
	for _, v := range list.Values {
		if _, isPoint := v.(*ast.MappingNode); isPoint {
			text, err := point(p.key, v)
			if err != nil {
				return o, err
			}
			points = append(points, text)
			continue
		}
		text, err := scalar(pair{p.key, lineOf(v), v})
		if err != nil {
			return o, err
		}
		o.Values = append(o.Values, text)
	}
	switch {
	case points != nil && o.Values != nil:
		return o, mistake(p.line, "%s has values and points; give one or the other", p.key)
	case points != nil:
		o.Values = []string{strings.Join(points, ",")}
	}
	return o, nil
}

// point is one of a ramp, as a flag takes it: AT:VALUE.
func point(of string, n ast.Node) (string, error) {
	pairs, err := mapping(n)
	if err != nil {
		return "", err
	}
	var at, value string
	for _, p := range pairs {
		text, err := scalar(p)
		switch {
		case err != nil:
			return "", err
		case p.key == "at":
			at = text
		case p.key == of:
			value = text
		default:
			return "", mistake(p.line, "a point of %s has the keys at and %s, and not %s", of, of, p.key)
		}
	}
	if at == "" || value == "" {
		return "", mistake(lineOf(n), "a point of %s needs both, as in {at: 30s, %s: 1000}", of, of)
	}
	return at + ":" + value, nil
}
