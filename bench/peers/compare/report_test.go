package compare

import (
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1}, Spread{5, 1, 9}},
		{[]float64{5, 1, 2}, Spread{2, 1, 5}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
	} {
		if got, ok := spread(c.values); !ok || got != c.want {
			t.Errorf("%v: %+v", c.values, got)
		}
	}
	if _, ok := spread(nil); ok {
		t.Error("a spread of nothing")
	}
}

func TestDecimals(t *testing.T) {
	for want, got := range map[string]string{
		"0.75": decimals(0.751, 2), "999": decimals(999, 0), "1,000": decimals(999.6, 0), "1,234,567.9": decimals(1234567.89, 1), "-1,234": decimals(-1234, 0), "-123": decimals(-123, 0),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestRatiosAreOfOneRound: a round in which everything was slow does not spoil the ratio, and a failed measurement is no best peer.
func TestRatiosAreOfOneRound(t *testing.T) {
	cfg := Config{Servers: []string{Ours, "gws", "nbio"}, Sizes: []int{128}, Inflight: []int{1}}
	name := cfg.workloads()[0].Name
	sample := func(round int, server string, cpu float64) Sample {
		return Sample{Round: round, Workload: name, Server: server, Figures: Figures{CPU: cpu}}
	}
	failed := Sample{Round: 3, Workload: name, Server: "gws", Error: "no"}
	r := newReport(&cfg, Host{}, []Sample{
		sample(1, Ours, 5), sample(1, "gws", 10), sample(1, "nbio", 20),
		sample(2, Ours, 50), sample(2, "gws", 200), sample(2, "nbio", 100),
		sample(3, Ours, 6), failed, sample(3, "nbio", 10),
	})
	ours, gws := r.Summary[0], r.Summary[1]
	if want := (Spread{0.5, 0.5, 0.6}); *ours.OfBest != want || ours.Figures[CPU] != (Spread{6, 5, 50}) {
		t.Errorf("%+v, %+v", *ours.OfBest, ours)
	}
	if gws.Failed != 1 || *gws.OfBest != (Spread{1.5, 1, 2}) || r.Failed() != 1 {
		t.Errorf("%+v, %+v", gws, *gws.OfBest)
	}
}

func TestGeneratorReportsThatSayNothing(t *testing.T) {
	for _, text := range []string{"", `{"messages":0,"seconds":3}`} {
		if f, err := load([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, f)
		}
	}
	for _, text := range []string{"", `{"conns":3}`} {
		if f, err := opening([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, f)
		}
	}
}

func TestTail(t *testing.T) {
	var out tail
	for _, s := range []string{"first", strings.Repeat("x", tailSize), "last"} {
		if n, err := out.Write([]byte(s)); n != len(s) || err != nil {
			t.Error(n, err)
		}
	}
	if s := out.String(); len(s) != tailSize || !strings.HasSuffix(s, "xlast") {
		t.Errorf("%d bytes, ...%q", len(s), s[len(s)-8:])
	}
}

func TestCPUModel(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: Some CPU: 2\nmodel name\t: B\n"); got != "Some CPU: 2" {
		t.Error(got)
	}
	if got := cpuModel("nothing"); !strings.HasPrefix(got, "unknown") {
		t.Error(got)
	}
}
