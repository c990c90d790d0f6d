package hours

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the answers into the scenario files")

// TestScenarios runs testdata/*.txt: a sentence of purpose, "hours SCHEDULE", and "at TIME", each followed by the answer.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var h *Hours
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // an answer as it was
		}
		fmt.Fprintln(&got, line)
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "", "#":
		case "hours":
			h = mustParse(t, rest)
		case "at":
			fmt.Fprintf(&got, "  %s\n", answer(t, h, rest))
		default:
			t.Fatalf("no event %q", line)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got.String() != string(text) {
		t.Errorf("%s: got\n%s", file, got.String())
	}
}

func answer(t *testing.T, h *Hours, text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	opens, closes := h.Next(at)
	until := "for ever"
	if !closes.IsZero() {
		until = "until " + closes.Format("Mon "+time.RFC3339)
	}
	switch {
	case h.Open(at) != opens.Equal(at):
		t.Fatalf("%s at %s: open is %v, but opens next at %s", h, at, h.Open(at), opens)
		return ""
	case h.Open(at):
		return "open " + until
	case opens.IsZero():
		return "closed for ever"
	default:
		return "closed, opens " + opens.Format("Mon "+time.RFC3339) + " " + until
	}
}
