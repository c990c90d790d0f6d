package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// loads are the scenarios that can be a part of a mixed run, and be shared by several processes. Their commands hand Part, Of and Gate of the recording
// to the scenario.
type loads struct {
	Chat    chatCommand    `cmd:""`
	Desk    deskCommand    `cmd:""`
	Echo    echoCommand    `cmd:""`
	Idle    idleCommand    `cmd:""`
	History historyCommand `cmd:""`
}

// load is a command of those.
type load interface {
	Run(ctx context.Context, t *terminal) error
	kind() kind
	output() *outputFlags
	server() *serverFlags
	shares() *shareFlags
	troubles() *chaosFlags
	keyFile() *string // where its key is; nil if it takes none
	address() string  // the server's URL
}

// wholeRun are the flags of those commands that are the run's and not a load's.
type wholeRun struct {
	outputFlags
	serverFlags
	shareFlags
	chaosFlags
}

// kind is how the reports of a scenario are dealt with.
type kind struct {
	typ   reflect.Type
	empty func() sharedOutcome
}

// sharedOutcome is a report of which several processes may have a part each.
type sharedOutcome interface {
	outcome
	OK() bool
	Curves() map[string]*report.Latency
	Merged(curves map[string]*report.Latency)
}

// kindOf names the type of a scenario's report.
func kindOf[R any, P interface {
	*R
	sharedOutcome
}]() kind {
	return kind{reflect.TypeFor[P](), func() sharedOutcome { return P(new(R)) }}
}

// loadModel is the parser of loads, and which flags each has.
type loadModel struct {
	parser *kong.Kong
	into   *loads
	flags  map[string][]string // by scenario
}

func newLoadModel() *loadModel {
	others := append(parserOf(&wholeRun{}).Model.Flags, parserOf(&manyFlags{}).Model.Flags...)
	m := &loadModel{into: &loads{}, flags: map[string][]string{}}
	m.parser = parserOf(m.into)
	for _, node := range m.parser.Model.Children {
		m.flags[node.Name] = []string{} // it is a scenario, whatever its flags
		for _, f := range node.Flags {
			if !slices.ContainsFunc(others, func(w *kong.Flag) bool { return w.Name == f.Name }) {
				m.flags[node.Name] = append(m.flags[node.Name], f.Name)
			}
		}
	}
	return m
}

// parserOf reads command lines into a struct, and says nothing by itself.
func parserOf(into any) *kong.Kong {
	p, err := kong.New(into, kong.Name("switchyard-bench"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}), kong.NoDefaultHelp())
	if err != nil {
		panic("BUG: switchyard-bench: " + err.Error())
	}
	return p
}

// parse makes the command of a load: the scenario and its flags.
func (m *loadModel) parse(args []string) (load, error) {
	parsed, err := m.parser.Parse(args)
	if err != nil {
		return nil, err
	}
	l, ok := parsed.Selected().Target.Addr().Interface().(load)
	if !ok {
		panic(fmt.Sprintf("BUG: switchyard-bench: %s cannot be a load", parsed.Command()))
	}
	return l, nil
}

// parseLoad is parse with a model of its own, since a command may be used only once.
func parseLoad(args []string) (load, error) { return newLoadModel().parse(args) }

// scenarios lists what can be a load.
func (m *loadModel) scenarios() string { return strings.Join(slices.Sorted(maps.Keys(m.flags)), ", ") }

// part is how a command runs that is one load of a larger run, or one process's part of it: it neither prints nor writes anything.
type part struct {
	index, of int
	gate      func(context.Context) error
	watch     meter.Watch
	chaos     *chaos.Run    // of the whole run, if the loads are its victims
	found     sharedOutcome // set when the command has run
}

// run is the command's scenario, with a recording that hands on what it is told.
func (p *part) run(t *terminal, scenario func(*recording) (outcome, error)) error {
	rep, err := scenario(p.recording(t))
	if err != nil {
		return err
	}
	found, ok := rep.(sharedOutcome)
	if !ok {
		panic(fmt.Sprintf("BUG: switchyard-bench: a %T cannot be shared", rep))
	}
	p.found = found
	return nil
}

// recording is what the scenario of a part is given.
func (p *part) recording(t *terminal) *recording {
	return &recording{t: t, forward: p.watch, part: p.index, of: p.of, gate: p.gate}
}
