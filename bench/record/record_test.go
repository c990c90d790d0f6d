package record

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample() *Run {
	l := report.NewLatency()
	for i := range int64(1000) {
		l.Record(i * 1e6)
	}
	return &Run{
		Bench: Bench{
			Version: "v1", Scenario: "chat", Arguments: []string{"chat", "--rate", "5"}, Started: time.Unix(1e9, 0).UTC(), Seconds: 12.5, Passed: true, Failed: []string{},
			Machine: observe.Facts{CPU: "x", Cores: 2}, Limits: []string{},
		},
		Figures: map[string]float64{"rate": 5}, Rows: Rows([]report.Row{{Name: "rate", Value: 5}}),
		Samples: []meter.Point{{Seconds: 1, Phase: "measuring", Counts: map[string]int64{"sent": 3}, Gauges: map[string]float64{"connections": 2},
			Latencies: map[string]meter.Summary{"accept": {Count: 4, Percentiles: report.Percentiles{P50: 1}}}}},
		Events: []meter.Event{{Seconds: 1.5, Name: "kill -9"}},
		Curves: map[string]*report.Latency{"accept": l},
	}
}

func TestARunIsReadAsItWasWritten(t *testing.T) {
	for name, rep := range map[string]any{
		"with fields":    struct{ Rate float64 }{5},
		"without fields": struct{}{},
	} {
		path, want := filepath.Join(t.TempDir(), "run.json"), sample()
		if err := Write(path, rep, want); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := got.Curves["accept"].Percentiles(), want.Curves["accept"].Percentiles(); a != b {
			t.Errorf("%s: %+v, want %+v", name, a, b)
		}
		got.Curves, want.Curves = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\n%+v", name, got, want)
		}
		text, _ := os.ReadFile(path)
		var all map[string]any
		if err := json.Unmarshal(text, &all); err != nil || (all["Rate"] == 5.0) != (name == "with fields") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestWhatIsNoRun(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "x.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]string{"": "unexpected end", "{": "unexpected end", `{"bench":5}`: "bench", `{"curves":{"a":"b"}}`: "HDR"} {
		if _, err := Read(file(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		`"samples":[{"seconds":1e308}]`, `"samples":[{"seconds":-1}]`, `"samples":[{"gauges":{"x":-1e308}}]`, `"samples":[{"latencies_ms":{"x":{"max":1e308}}}]`,
		`"figures":{"x":1e308}`, `"events":[{"seconds":1e308}]`,
	} {
		if _, err := Read(file(`{"bench":{"scenario":"chat"},` + text + `}`)); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Read(file(`{"rate":5}`)); !errors.Is(err, errForeign) {
		t.Error(err)
	}
	if _, err := Read(filepath.Join(dir, "none")); !os.IsNotExist(errors.Unwrap(err)) {
		t.Error(err)
	}
	if err := Write(filepath.Join(dir, "no", "dir"), struct{}{}, sample()); !os.IsNotExist(errors.Unwrap(err)) {
		t.Error(err)
	}
	if err := Write(filepath.Join(dir, "list"), []int{1}, sample()); err == nil {
		t.Error("a list was taken for a report")
	}
}
