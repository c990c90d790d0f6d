package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/cmd/switchyard-bench/plan"
)

// mixCommands drive several loads, or from several processes and machines.
type mixCommands struct {
	Run        runCommand        `cmd:"" help:"Several loads beside each other, with ramps, as a file says."`
	Check      checkCommand      `cmd:"" help:"Show what a file has run do."`
	Agent      agentCommand      `cmd:"" help:"Make this machine one of those that drive a load."`
	Controller controllerCommand `cmd:"" help:"Have agents on several machines drive a load together."`
	Worker     partWorkerCommand `cmd:"" hidden:"" help:"One process of --processes."`
}

// runCommand drives the loads of a file.
type runCommand struct {
	File string `arg:"" type:"path" help:"What to run: a YAML file (docs/bench.md)."`
	wholeRun
}

// Run is called by kong.
func (c *runCommand) Run(ctx context.Context, t *terminal) error {
	p, err := readPlan(c.File)
	if err != nil {
		return err
	}
	if c, err = c.with(p.args, t.args); err != nil {
		return err
	}
	w := &whole{
		flags: &c.wholeRun, loads: p.loads, kinds: p.kinds, url: p.url, typ: mixFigures(p.names, p.kinds),
		outcome: func(parts []sharedOutcome, server *report.Server, made *chaos.Report) outcome {
			return newMixReport(p, parts, server, made)
		},
	}
	return w.run(ctx, t)
}

// with is the command with the options of its file, which those of the command line go before.
func (c *runCommand) with(file, line []string) (*runCommand, error) {
	whole := &runCommand{}
	if _, err := parserOf(whole).Parse(append(slices.Clone(file), line[1:]...)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, c.File, err)
	}
	return whole, nil
}

// checkCommand shows what run would do.
type checkCommand struct {
	File string `arg:"" type:"path" help:"The file to check."`
}

// Run is called by kong.
func (c *checkCommand) Run(t *terminal) error {
	p, err := readPlan(c.File)
	if err != nil {
		return err
	}
	whole, err := (&runCommand{File: c.File}).with(p.args, []string{"run", c.File})
	if err != nil {
		return err
	}
	if _, err := whole.thresholds(mixFigures(p.names, p.kinds)); err != nil {
		return err
	}
	var rows []report.Row
	for _, l := range p.loads {
		rows = append(rows, report.Row{Name: l.Name, Value: fmt.Sprintf("from %s  %s", l.Start, strings.Join(l.Args, " "))})
	}
	return report.Table(t.out, append(rows, report.Row{Name: "the run", Value: strings.Join(p.args, " ")}))
}

// runPlan is a file with its options put where they belong.
type runPlan struct {
	args  []string // of the run
	loads []jobLoad
	names []string
	kinds []kind
	url   string // of the first load
}

// readPlan reads a file. A mistake is one of usage.
func readPlan(file string) (*runPlan, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, plan.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	parsed, err := plan.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, file, err)
	}
	p, err := resolve(parsed)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, file, err)
	}
	return p, nil
}

// resolve finds the flag that each option is.
func resolve(f *plan.File) (*runPlan, error) {
	m, p := newLoadModel(), &runPlan{}
	var ofRun []string
	for _, flag := range parserOf(&wholeRun{}).Model.Flags {
		ofRun = append(ofRun, flag.Name)
	}
	used := map[string]bool{}
	for _, o := range f.Options {
		if slices.Contains(ofRun, o.Name) {
			used[o.Name] = true
			p.args = append(p.args, o.Args()...)
		}
	}
	for i := range f.Loads {
		l, err := m.resolve(&f.Loads[i], f.Options, used)
		if err != nil {
			return nil, err
		}
		command, err := parseLoad(l.Args)
		if err != nil {
			return nil, &plan.Error{Line: lineOf(err, &f.Loads[i], f.Options), Text: fmt.Sprintf("load %s: %v", l.Name, err)}
		}
		p.url = cmp.Or(p.url, command.address())
		p.loads, p.names, p.kinds = append(p.loads, l), append(p.names, l.Name), append(p.kinds, command.kind())
	}
	for _, o := range f.Options {
		if !used[o.Name] {
			return nil, &plan.Error{Line: o.Line, Text: fmt.Sprintf("no load has an option %s, and neither has the run, which has %s", o.Name, strings.Join(ofRun, ", "))}
		}
	}
	return p, nil
}

// resolve makes the command line of a load: the options of the file that it has, before its own.
func (m *loadModel) resolve(l *plan.Load, common []plan.Option, used map[string]bool) (jobLoad, error) {
	flags, ok := m.flags[l.Scenario]
	if !ok {
		return jobLoad{}, &plan.Error{Line: l.Line, Text: fmt.Sprintf("no scenario %q can be a load: there are %s", l.Scenario, m.scenarios())}
	}
	args := []string{l.Scenario}
	for _, o := range common {
		if slices.Contains(flags, o.Name) {
			used[o.Name] = true
			if !slices.ContainsFunc(l.Options, func(own plan.Option) bool { return own.Name == o.Name }) {
				args = append(args, o.Args()...)
			}
		}
	}
	for _, o := range l.Options {
		if !slices.Contains(flags, o.Name) {
			return jobLoad{}, &plan.Error{Line: o.Line, Text: fmt.Sprintf("%s has no option %s as a load; it has %s", l.Scenario, o.Name, strings.Join(flags, ", "))}
		}
		args = append(args, o.Args()...)
	}
	return jobLoad{Name: l.Name, Start: l.Start, Args: args}, nil
}

// lineOf is the line of the option that an error is about, or of the load.
func lineOf(err error, l *plan.Load, common []plan.Option) int {
	for _, o := range append(slices.Clone(l.Options), common...) {
		if strings.HasPrefix(err.Error(), "--"+o.Name+":") || strings.HasPrefix(err.Error(), "--"+o.Name+" ") {
			return o.Line
		}
	}
	return l.Line
}
