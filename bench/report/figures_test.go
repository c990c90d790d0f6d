package report

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type part struct {
	Rate float64 `json:"rate"`
}

type sampleReport struct {
	part
	Deliver  Percentiles      `json:"deliver_ms"`
	Lost     int64            `json:"lost"`
	Name     string           `json:"name"`
	Cases    []string         `json:"cases"`
	Server   *Server          `json:"server,omitempty"`
	Other    *part            `json:"other,omitempty"`
	Ends     map[string]int   `json:"ends"`
	Limited  bool             `json:"limited"`
	Peaks    []part           `json:"peaks"`
	Again    *sampleReport    `json:"again,omitempty"`
	Hidden   int              `json:"-"`
	internal map[string]int64 //lint:ignore U1000 what is not exported is no figure
}

func TestFigures(t *testing.T) {
	got := Figures(&sampleReport{
		part: part{5}, Deliver: Percentiles{P99: 7.5}, Lost: 2, Cases: []string{"x"}, Server: &Server{RSSBytes: 9, CPUUSPerMessage: 4},
		Ends: map[string]int{"cut Off": 3}, Limited: true, Peaks: []part{{1}}, Hidden: 4,
	})
	for name, want := range map[string]float64{
		"rate": 5, "deliver_p99": 7.5, "deliver_max": 0, "lost": 2, "server_rss_bytes": 9, "server_cpu_us_per_message": 4, "ends_cut_off": 3, "limited": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v of %v", name, v, want, got)
		}
	}
	names := FigureNames(reflect.TypeFor[*sampleReport]())
	for _, name := range slices.Collect(maps.Keys(got)) {
		if !known(name, names) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	for _, name := range []string{"other_rate", "ends_*"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	for _, name := range []string{"name", "cases", "hidden", "peaks", "again_lost"} {
		if slices.Contains(names, name) {
			t.Errorf("%s is among %v", name, names)
		}
	}
}

// TestPercentilesOfNothingAreNoFigures: nothing was measured, so nothing is known of it, and a threshold on it is not kept.
func TestPercentilesOfNothingAreNoFigures(t *testing.T) {
	got := Figures(&sampleReport{Again: &sampleReport{Deliver: Percentiles{Max: 1}}})
	if v, ok := got["deliver_p99"]; ok || got["again_deliver_max"] != 1 {
		t.Errorf("deliver_p99 is %v of %v", v, got)
	}
	limit, err := ParseThreshold("deliver_p99>50ms", []string{"deliver_p99"})
	if err != nil {
		t.Fatal(err)
	}
	if v := limit.Judge(got); !v.Failed {
		t.Errorf("%+v", v)
	}
}

func TestUnits(t *testing.T) {
	for figure, want := range map[string]string{
		"deliver_p99": "ms", "deliver_p9999": "ms", "accept_max": "ms", "max_p99_ms": "ms", "server_cpu_us_per_message": "us", "open_seconds": "s",
		"server_rss_bytes": "B", "rss_bytes_per_conn": "B", "delivery_rate": "/s", "server_gc_share": "%", "share": "%", "lost": "", "deliver_p99_ratio": "",
	} {
		if got := Unit(figure); got != want {
			t.Errorf("%s is in %q, want %q", figure, got, want)
		}
	}
}

var figures = []string{"deliver_p99", "deliver_p999", "server_rss_bytes", "server_gc_share", "server_cpu_us_per_message", "lost", "rate", "ends_*"}

func TestThresholds(t *testing.T) {
	run := map[string]float64{"deliver_p99": 50, "server_rss_bytes": 64 << 20, "server_gc_share": 0.25, "lost": 0, "rate": 5000, "ends_cut": 3}
	for text, fails := range map[string]bool{
		"deliver_p99>50ms": false, "deliver_p99>=50ms": true, " deliver_p99 > 49.9 ": true, "deliver_p99<50": false, "deliver_p99<=50": true,
		"deliver_p99==50": true, "deliver_p99>0.05s": false, "deliver_p99>49900us": true, "server_rss_bytes>64MiB": false, "server_rss_bytes>=64MiB": true,
		"server_rss_bytes>64MB": true, "server_rss_bytes>67KB": true, "server_rss_bytes>1e9": false, "server_gc_share>25%": false, "server_gc_share>20%": true,
		"server_gc_share>0.2": true, "lost>0": false, "lost==0": true, "rate<5000/s": false, "rate<5001/s": true, "ends_cut>2": true,
		"deliver_p99.9>1ms": true, "server_cpu_us_per_message>1000s": true, // what the run could not tell fails
	} {
		threshold, err := ParseThreshold(text, figures)
		if err != nil {
			t.Error(err)
			continue
		}
		v := threshold.Judge(run)
		if v.Failed != fails || v.Threshold != strings.TrimSpace(text) || !strings.HasPrefix(v.Row().Value.(string), map[bool]string{true: "failed", false: "passed"}[fails]) || !strings.HasPrefix(v.String(), v.Threshold) {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

func TestBadThresholds(t *testing.T) {
	for text, want := range map[string]string{
		"": "as in", "deliver_p99": "as in", "deliver_p99=50ms": "as in", "deliver_p99>>5": "as in", "deliver_p99>ms": "as in", "deliver_p99>5ms now": "as in",
		"delivr_p99>50ms": "did you mean deliver_p99", "p99>5ms": "deliver_p99", "xyzzy_plugh>1": "there are: deliver_p99, ", "ends_>1": "no figure",
		"deliver_p99>5MB": "is no unit for", "deliver_p99>5lightyears": "use ns us ms", "lost>5ms": "leave", "server_gc_share>5ms": "per cent", "rate>5%": "no unit for",
	} {
		if _, err := ParseThreshold(text, figures); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		figure string
		value  float64
		want   string
	}{
		{"deliver_p99", 1.23456, "1.235 ms"}, {"deliver_p99", 1234.5, "1234 ms"}, {"lost", 3, "3"}, {"rate", 5000.4, "5000/s"}, {"server_gc_share", 0.1234, "12.34 %"},
		{"server_rss_bytes", 12_345_678, "12.3 MB"}, {"server_rss_bytes", 5, "5 B"}, {"server_rss_bytes", 2.5e9, "2.50 GB"}, {"rss_bytes_per_conn", 23_456, "23.5 KB"},
		{"server_cpu_us_per_message", 24.87, "24.87 us"}, {"deliver_p99", 123.45, "123.5 ms"},
	} {
		if got := Format(c.figure, c.value); got != c.want {
			t.Errorf("%s %v is %q, want %q", c.figure, c.value, got, c.want)
		}
	}
}
