// Package page draws runs as HTML: one run as a report, several side by side. A page is one file that needs nothing else: no request leaves it, its
// charts are SVG that is there without the script, and the script only tells the values under the pointer. Pure: it writes to what it is given.
package page

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/record"
	"github.com/switchyard-im/switchyard/bench/report"
)

//go:embed *.tmpl
var files embed.FS

// templates escape whatever they are given, by where it stands.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"pair": func(runs []runHead, figures []record.Compared) comparedView { return comparedView{runs, figures} },
}).ParseFS(files, "*.tmpl"))

// maxPoints of a line is what its width can show.
const maxPoints = 600

// runView is what the template of one run gets.
type runView struct {
	Bench    record.Bench
	Started  string
	Took     string
	Command  string
	Machine  []record.Row
	Verdict  string
	Tiles    []tile
	Table    []record.Row
	Wrong    []string // the oracle's first cases
	Sections []section
	Figures  []record.Row
}

// section is some charts under a heading.
type section struct {
	Name   string // "" for the first one
	Charts []chart
	Events []eventKind // what the lines across its charts stand for
}

// eventKind is one thing that was done to the server.
type eventKind struct {
	Name, Color string
	Count       int
}

// Run writes the report of one run.
func Run(w io.Writer, r *record.Run) error {
	v := runView{
		Bench: r.Bench, Started: r.Bench.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Took: took(r.Bench.Seconds), Command: command(r.Bench.Arguments),
		Machine: machine(r.Bench), Tiles: tiles(r), Sections: sections(r),
	}
	v.Verdict = "failed"
	if r.Bench.Passed {
		v.Verdict = "passed"
	}
	for _, row := range r.Rows {
		if row.Name == "violation" {
			v.Wrong = append(v.Wrong, row.Value)
			continue
		}
		v.Table = append(v.Table, row)
	}
	for _, name := range record.Order(r.Figures) {
		v.Figures = append(v.Figures, record.Row{Name: name, Value: report.Format(name, r.Figures[name])})
	}
	if err := templates.ExecuteTemplate(w, "run.tmpl", v); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

func took(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// command is the command line as a shell takes it.
func command(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if quoted[i] = a; a == "" || strings.ContainsAny(a, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return "switchyard-bench " + strings.Join(quoted, " ")
}

func machine(b record.Bench) []record.Row {
	m := b.Machine
	return []record.Row{
		{Name: "processor", Value: fmt.Sprintf("%s, %d cores, %s", orUnknown(m.CPU), m.Cores, m.Arch)},
		{Name: "memory", Value: report.Format("bytes", float64(m.Memory))},
		{Name: "system", Value: orUnknown(m.Kernel)},
		{Name: "built with", Value: m.Go},
		{Name: "switchyard-bench", Value: b.Version},
	}
}

func orUnknown(f string) string {
	if f == "" {
		return "unknown"
	}
	return f
}
