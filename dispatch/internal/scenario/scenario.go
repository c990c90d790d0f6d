// Package scenario runs the scenario files of the state machines: texts that say what happens and, below it, what comes of it. With -update a test writes
// what comes of it into the files; read the difference before you commit it.
package scenario

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what happens into the scenario files")

// Files runs testdata/*.txt, each as a test of its own: run gets the text and returns it with what came of it.
func Files(t *testing.T, run func(t *testing.T, text string) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { one(t, file, run) })
	}
}

func one(t *testing.T, file string, run func(t *testing.T, text string) string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, string(text))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(text) {
		t.Errorf("%s: %s", file, difference(got, string(text)))
	}
}

// difference shows the first line that differs, with what is before it.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	n := 0
	for n < len(g) && n < len(w) && g[n] == w[n] {
		n++
	}
	part := func(lines []string) string { return strings.Join(lines[min(n, len(lines)):min(n+8, len(lines))], "\n") }
	return fmt.Sprintf("line %d, after\n%s\ngot:\n%s\nwant:\n%s", n+1, strings.Join(g[max(0, n-12):n], "\n"), part(g), part(w))
}

// Lines runs the files whose lines are events, each followed by indented lines of what comes of it. An empty line and one that begins with # is no event. The
// function that begin returns handles one event, and returns those lines.
func Lines(t *testing.T, begin func(t *testing.T) func(event string) []string) {
	t.Helper()
	Files(t, func(t *testing.T, text string) string {
		handle := begin(t)
		var got strings.Builder
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "  ") {
				continue // what came of an event before
			}
			fmt.Fprintln(&got, line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			for _, what := range handle(line) {
				fmt.Fprintf(&got, "  %s\n", what)
			}
		}
		return got.String()
	})
}
