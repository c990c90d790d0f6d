package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func named(name string, figures map[string]float64) Named {
	return Named{name, &Run{Bench: Bench{Scenario: "chat", Version: "v1", Passed: name == "a", GeneratorLimited: name == "b"}, Figures: figures}}
}

func TestCompare(t *testing.T) {
	runs := []Named{
		named("a", map[string]float64{"rate": 1000, "deliver_p99": 10, "accept_max": 50, "lost": 0, "pairs": 10, "target_rate": 5, "server_gc_share": 0.1, "altered": 1, "all_zero": 0}),
		named("b", map[string]float64{"rate": 2000, "deliver_p99": 20, "accept_max": 51, "lost": 3, "pairs": 20, "target_rate": 50, "server_gc_share": 0.2, "altered": 2}),
		named("c", map[string]float64{"rate": 500, "deliver_p99": 5, "other": 1}),
	}
	var got []string
	changes := map[string]string{}
	for _, c := range Compare(runs) {
		got = append(got, c.Figure)
		for i, cell := range c.Cells {
			changes[c.Figure+" "+runs[i].Name] = cell.Change
		}
	}
	if text := strings.Join(got, " "); text != "lost altered rate deliver_p99 accept_max other pairs server_gc_share target_rate" {
		t.Error(text)
	}
	for what, want := range map[string]string{
		"rate b": "better", "rate c": "worse", "deliver_p99 b": "worse", "deliver_p99 c": "better", "accept_max b": "", "pairs b": "", "target_rate b": "", "server_gc_share b": "",
		"altered b": "worse", "lost b": "", "rate a": "",
	} {
		if changes[what] != want {
			t.Errorf("%s is %q, want %q", what, changes[what], want)
		}
	}
	var b strings.Builder
	if err := WriteTable(&b, runs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"verdict", "failed, generator limited", "20 ms (2.00)", "2000/s (2.00)", "other", "-"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestRunsAreNamedByTheirFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, b, c := filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json"), filepath.Join(dir, "other", "a.json")
	for _, path := range []string{a, b, c} {
		if err := Write(path, struct{}{}, sample()); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct{ paths, want []string }{{[]string{a, b}, []string{"a", "b"}}, {[]string{a, c}, []string{a, c}}} {
		runs, err := Load(x.paths)
		if err != nil || runs[0].Name != x.want[0] || runs[1].Name != x.want[1] {
			t.Errorf("%v: %+v", err, runs)
		}
	}
	if _, err := Load([]string{a, filepath.Join(dir, "none.json")}); err == nil {
		t.Error("loaded what is not there")
	}
}
