package hours

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/internal/scenario"
)

// TestScenarios runs testdata/*.txt: a sentence of purpose, "hours SCHEDULE", and "at TIME", each followed by the answer.
func TestScenarios(t *testing.T) {
	scenario.Lines(t, func(t *testing.T) func(string) []string {
		var h *Hours
		return func(event string) []string {
			what, rest, _ := strings.Cut(event, " ")
			switch what {
			case "hours":
				h = mustParse(t, rest)
				return nil
			case "at":
				return []string{answer(t, h, rest)}
			}
			t.Fatalf("no event %q", event)
			return nil
		}
	})
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
