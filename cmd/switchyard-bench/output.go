package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/switchyard-im/switchyard/bench/page"
	"github.com/switchyard-im/switchyard/bench/record"
	"github.com/switchyard-im/switchyard/bench/report"
)

// outputFlags say what a command makes of its run besides the table; all commands have them.
type outputFlags struct {
	JSON   string   `name:"json" type:"path" help:"Write the report to this file: the scenario's figures, the time series and the latency histograms." placeholder:"FILE"`
	CSV    string   `name:"csv" type:"path" help:"Write the time series to this file, a row a second." placeholder:"FILE"`
	HTML   string   `name:"html" type:"path" help:"Write the report to this file as a page with charts, which needs nothing else." placeholder:"FILE"`
	FailIf []string `name:"fail-if" sep:"none" help:"Exit with 1 if a figure of the report is so: 'deliver_p99>50ms'. May be given several times; docs/bench.md tells their names." placeholder:"EXPR"`
	Listen string   `name:"metrics-listen" help:"Serve the figures of the last second to Prometheus while the run lasts, on http://HOST:PORT/metrics." placeholder:"HOST:PORT"`
}

func (f *outputFlags) output() *outputFlags { return f }

// writable tells before the run which of the files could not be written after it. It changes none of them.
func (f *outputFlags) writable() error {
	named := map[string]string{} // flags by path
	for _, o := range []struct{ flag, path string }{{"--json", f.JSON}, {"--csv", f.CSV}, {"--html", f.HTML}} {
		if o.path == "" {
			continue
		}
		if other := named[o.path]; other != "" {
			return fmt.Errorf("%w: %s and %s name the same file, %s", errUsage, other, o.flag, o.path)
		}
		named[o.path] = o.flag
		if err := openable(o.path); err != nil {
			return fmt.Errorf("%s: %w: name a file in a directory that you may write to", o.flag, err)
		}
	}
	return nil
}

// openable opens a file as it will be written, and leaves things as they were.
func openable(path string) error {
	was, err := os.Stat(path)
	if err == nil && !was.IsDir() && !was.Mode().IsRegular() {
		return nil // a pipe or a device: whoever is at its other end would notice
	}
	f, failed := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if failed != nil {
		return failed
	}
	if errors.Is(err, fs.ErrNotExist) {
		failed = os.Remove(path)
	}
	return errors.Join(failed, f.Close())
}

// errUsage is for what the command line got wrong in ways that its parser does not know.
var errUsage = errors.New("usage")

// errThreshold ends a run that passed but for --fail-if; the table has told.
var errThreshold = errors.New("a threshold of --fail-if was met")

// errNothing ends a run in whose measured window nothing came, so that nothing is known of the server.
var errNothing = errors.New("nothing was measured: the window was too short, the rate zero, the run interrupted before, or no answer came")

// thresholds reads --fail-if for a scenario with reports of this type, so that a mistake is told before the run.
func (f *outputFlags) thresholds(rep reflect.Type) ([]report.Threshold, error) {
	names := report.FigureNames(rep)
	var list []report.Threshold
	for _, text := range f.FailIf {
		t, err := report.ParseThreshold(text, names)
		if err != nil {
			return nil, fmt.Errorf("%w: --fail-if: %w", errUsage, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// errInterrupted ends a run that a signal cut short; the table has told.
var errInterrupted = errors.New("the run was interrupted: what was found is of a part of it")

// outcome is a scenario's report. It may have more methods: OK judges its promises, Curves are its latencies, Limits say why the generator itself set
// the figures.
type outcome interface{ Rows() []report.Row }

// measure runs a scenario, with whatever watches it, and ends its command: it writes the table and the files of f. The
// error is errViolation if a promise was broken, errThreshold if a threshold was met, errNothing if nothing was measured, or that of a run that could not take place.
func measure[R outcome](ctx context.Context, t *terminal, f *outputFlags, server watched, run func(*recording) (R, error)) error {
	if t.part != nil {
		return t.part.run(t, func(rec *recording) (outcome, error) { return run(rec) })
	}
	return t.measure(ctx, f, server, reflect.TypeFor[R](), func(rec *recording) (outcome, error) { return run(rec) })
}

// measure is the same for a report whose type is not known before; figures is one with its figures.
func (t *terminal) measure(ctx context.Context, f *outputFlags, server watched, figures reflect.Type, run func(*recording) (outcome, error)) error {
	thresholds, err := f.thresholds(figures)
	if err != nil {
		return err
	}
	if err := f.writable(); err != nil {
		return err
	}
	rec, err := newRecording(ctx, t, f, server)
	if err != nil {
		return err
	}
	rep, err := run(rec)
	rec.stop()
	t.progress.done()
	var unwritten error
	if f.CSV != "" { // also of a run that could not go on
		unwritten = record.WriteCSV(f.CSV, rec.series.Points, rec.series.Events)
	}
	if err == nil {
		if ctx.Err() != nil && rec.lost == nil {
			rec.lost = errInterrupted
		}
		err = t.finish(rep, rec, f, thresholds)
	}
	return errors.Join(err, unwritten)
}

// finish makes the outcome known.
func (t *terminal) finish(rep outcome, rec *recording, f *outputFlags, thresholds []report.Threshold) error {
	r := rec.run()
	r.Figures = report.Figures(rep)
	verdict := judge(rep, r, thresholds)
	rows := rep.Rows()
	if rec.lost != nil {
		r.Bench.Passed, r.Bench.Failed = false, append(r.Bench.Failed, rec.lost.Error())
		rows = append(rows, report.Row{Name: "INCOMPLETE", Value: rec.lost})
		if errors.Is(verdict, errViolation) {
			verdict = errors.Join(verdict, rec.lost)
		} else {
			verdict = rec.lost // of a part alone a threshold says nothing
		}
	}
	for _, text := range r.Bench.Limits {
		rows = append(rows, report.Row{Name: "generator limited", Value: text})
	}
	for _, v := range r.Bench.Thresholds {
		rows = append(rows, v.Row())
	}
	r.Rows = record.Rows(rows)
	err := report.Table(t.out, rows)
	if f.JSON != "" {
		err = errors.Join(err, record.Write(f.JSON, rep, r))
	}
	if f.HTML != "" {
		err = errors.Join(err, writeFile(f.HTML, func(w io.Writer) error { return page.Run(w, r) }))
	}
	return errors.Join(verdict, err)
}

// writeFile makes a file of what write writes.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	return errors.Join(write(b), b.Flush(), f.Close())
}

// judge fills in how the run ended.
func judge(rep outcome, r *record.Run, thresholds []report.Threshold) (verdict error) {
	r.Bench.Failed, r.Bench.Limits = []string{}, []string{}
	if judged, ok := rep.(interface{ OK() bool }); ok && !judged.OK() {
		r.Bench.Failed = append(r.Bench.Failed, errViolation.Error())
		verdict = errViolation
	}
	for _, t := range thresholds {
		v := t.Judge(r.Figures)
		r.Bench.Thresholds = append(r.Bench.Thresholds, v)
		if v.Failed {
			r.Bench.Failed = append(r.Bench.Failed, v.String())
		}
	}
	if verdict == nil && len(r.Bench.Failed) > 0 {
		verdict = fmt.Errorf("%w: %s", errThreshold, strings.Join(r.Bench.Failed, "; "))
	}
	if curves, ok := rep.(interface {
		Curves() map[string]*report.Latency
	}); ok {
		r.Curves = curves.Curves()
		if verdict == nil && empty(r.Curves) {
			r.Bench.Failed, verdict = append(r.Bench.Failed, errNothing.Error()), errNothing
		}
	}
	r.Bench.Passed = verdict == nil
	if limited, ok := rep.(interface{ Limits() []string }); ok {
		r.Bench.Limits = append(r.Bench.Limits, limited.Limits()...)
	}
	r.Bench.GeneratorLimited = len(r.Bench.Limits) > 0
	return verdict
}

// empty tells whether there are curves, and none has a single value.
func empty(curves map[string]*report.Latency) bool {
	for _, l := range curves {
		if l.Count() > 0 {
			return false
		}
	}
	return len(curves) > 0
}
